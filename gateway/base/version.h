// SPDX-License-Identifier: MIT
// version: which Tidegate this is.
#pragma once

#define TIDEGATE_VERSION "0.1.0"
