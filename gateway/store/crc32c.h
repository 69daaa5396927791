// SPDX-License-Identifier: MIT
// crc32c: the checksum of bodies on disk (Castagnoli polynomial), with the processor's own instruction where it has one.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Continues `crc` (0 at the start) over `size` bytes. Any thread.
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

// The same by table: what runs on processors without the instruction, and its oracle in the tests.
uint32_t crc32c_by_table(uint32_t crc, const void *data, size_t size);
