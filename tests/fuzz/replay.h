#pragma once
/*
 * replay.h - the main of a fuzzer that was linked without libFuzzer: run the inputs named on the command
 * line. libFuzzer's own main is the strong one where it is linked.
 */
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

__attribute__((weak)) int main(int argc, char **argv)
{
	static uint8_t data[1 << 16];

	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");
		if (!f) {
			perror(argv[i]);
			return 1;
		}
		size_t n = fread(data, 1, sizeof(data), f);
		fclose(f);
		LLVMFuzzerTestOneInput(data, n);
		printf("%s: %zu bytes, passed\n", argv[i], n);
	}
	return 0;
}
