// SPDX-License-Identifier: MIT
// replay: gives every file of the folders (or files) named as arguments to a fuzz target, without a fuzzer. `make test` runs the
// kept corpus through each target this way, with the sanitizers on.
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) return perror(path), 1;
    uint8_t *data = NULL;
    size_t size = 0, room = 0, n;
    do {
        if (size == room) data = realloc(data, room = room ? room * 2 : 4096);
        if (!data) abort();
        n = fread(data + size, 1, room - size, f);
        size += n;
    } while (n);
    fclose(f);
    // A block of exactly the input's size, so that a read behind its end is seen.
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact) abort();
    for (size_t i = 0; i < size; i++) exact[i] = data[i];
    free(data);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 0;
}

static int run_folder(const char *path, int *count) {
    int failed = 0;
    DIR *dir = opendir(path);
    if (!dir) return perror(path), 1;
    for (struct dirent *e; (e = readdir(dir));) {
        char file[4096];
        if (e->d_name[0] == '.') continue;
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        failed += run_file(file);
        ++*count;
    }
    closedir(dir);
    return failed;
}

int main(int argc, char **argv) {
    int failed = 0, count = 0;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (stat(argv[i], &st) < 0) return perror(argv[i]), 1;
        if (S_ISDIR(st.st_mode)) failed += run_folder(argv[i], &count);
        else failed += run_file(argv[i]), count++;
    }
    printf("%d inputs\n", count);
    return failed || count == 0;
}
