/*
 * fuzz_page_tree.c - bytes become operations on page trees; each is compared with the model
 * (page_tree_model.h), which aborts when they disagree.
 *
 * An operation is one byte (high nibble: tree, low nibble: what), followed by its operands: an index takes
 * two bytes (which boundary, how far from it), a count one. Without libFuzzer the program runs each file
 * named on its command line once: to replay what a fuzzer found.
 */
#include "page_tree_env.h"
#include "page_tree_model.h"
#include "replay.h"

struct input {
	const uint8_t *at, *end;
};

static unsigned take(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static pgidx_t take_index(struct input *in)
{
	static const pgidx_t at[] = {0, 64, 4096, 1ULL << 18, 1ULL << 24, 1ULL << 30, 1ULL << 35, 1ULL << 36,
	    1ULL << 42, 1ULL << 48, PT_INDEX_MAX, 12345, 777, 1ULL << 12, (1ULL << 35) + (1ULL << 24),
	    1ULL << 51};
	pgidx_t base = at[take(in) % ARRAY_SIZE(at)];
	return (base + take(in) - 128) & PT_INDEX_MAX;
}

static struct model m;

static err_t change_pages(struct input *in, unsigned k, unsigned op)
{
	pgidx_t idx = take_index(in), other;
	switch (op) {
	case 0:
	case 1:
	case 4:
		return model_write(&m, k, idx, op == 1);
	case 2: { /* a stretch of pages */
		unsigned n = take(in) % 80;
		err_t err = 0;
		for (unsigned i = 0; i < n && !err && idx + i <= PT_INDEX_MAX; i++)
			err = model_write(&m, k, idx + i, false);
		return err;
	}
	case 3:
		return model_share_page(&m, k, idx, take(in) % MODEL_TREES, take(in));
	case 5:
	case 6:
		other = take_index(in);
		return model_remove(
		    &m, k, MIN(idx, other), MAX(idx, other) + (MAX(idx, other) == PT_INDEX_MAX), op == 5);
	default: /* a short range */
		return model_remove(&m, k, idx, idx + take(in), true);
	}
}

static void one_operation(struct input *in)
{
	unsigned byte = take(in), op = byte & 15, k = (byte >> 4) % MODEL_TREES, other;
	err_t err = 0;
	if (!m.t[k].live)
		model_create(&m, k, op & 1);
	if (op < 8) {
		if (in->at < in->end &&
		    *in->at & 0x80) /* the first operand's top bit: one of its allocations fails */
			inject_arm(1 + (*in->at >> 4 & 7));
		err = change_pages(in, k, op);
		bool fired = inject_fired();
		inject_arm(0);
		MCHECK(err == 0 || err == -ENOSPC || (err == -ENOMEM && fired));
	} else if (op < 11) {
		other = take(in) % MODEL_TREES;
		if (!m.t[other].live && !m.t[k].file)
			model_clone(&m, other, k);
	} else if (op == 11) {
		model_destroy(&m, k);
	} else if (op < 14) {
		model_mark(&m, k, take(in), (enum page_mark)(byte >> 4 & 1), op == 12);
	} else {
		pgidx_t a = take_index(in), b = take_index(in);
		model_query(&m, k, a, b);
	}
	if (m.t[k].live)
		model_compare(&m.t[k]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool started;
	struct input in = {data, data + MIN(size, (size_t)4096)};
	if (!started) {
		page_tree_env_init();
		started = true;
	}
	model_start(&m);
	while (in.at < in.end)
		one_operation(&in);
	model_compare_all(&m);
	model_end(&m);
	return 0;
}
