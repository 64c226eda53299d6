/*
 * fuzz_space.c - bytes become operations on spaces and objects; the naive model (tests/model) is the oracle.
 *
 * The first byte chooses the window; each operation takes the bytes that its choices need. Everything is
 * dropped at the end and must be gone. The detectors of the mock hardware and vm_validate() look on.
 */
#include "machine/host.h"
#include "replay.h"
#include "vm_model.h"

static void check_usage(const struct model_usage *before)
{
	struct model_usage after;

	model_usage_get(&after);
	if (after.frames != before->frames || after.objects != before->objects ||
	    after.nodes != before->nodes)
		panic("leak: %lld frames, %lld objects, %lld nodes",
		    (long long)(before->frames - after.frames), (long long)(after.objects - before->objects),
		    (long long)(after.nodes - before->nodes));
}

static void run(const uint8_t *data, size_t size)
{
	static struct vm_model m;
	struct model_options opt = {.base = GIB(1) - 96 * PAGE_SIZE, .npages = data[0] & 1 ? 170 : 700};
	struct model_usage before;

	if (data[0] & 2)
		opt.base = data[0] & 4 ? USER_START : USER_END - opt.npages * PAGE_SIZE;
	if (data[0] & 8)
		opt.inject = 4, opt.no_volatile = true;
	model_usage_get(&before);
	model_init(&m, &opt, (struct model_source){.bytes = data + 1, .left = size - 1});
	while (model_step(&m))
		if (m.steps % 16 == 0)
			model_check(&m);
	model_check_contents(&m);
	model_check(&m);
	model_fini(&m);
	check_usage(&before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;

	if (!ready) {
		host_init(1 << 15);
		host_panic_hook = model_print_log;
		model_verbose = true;
		run((const uint8_t[64]){0}, 64); /* fills what stays for good */
		ready = true;
	}
	if (size > 0)
		run(data, size);
	return 0;
}
