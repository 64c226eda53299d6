#pragma once
/*
 * splice.h - bytes between files without a buffer of the user's. See pipe_splice.c.
 *
 * All of these: how the files were opened was checked by the caller. Bytes moved, 0 at the end, or -errno:
 * -EAGAIN (nonblock), -EPIPE (the pipe has no reader), -EINTR. May sleep.
 */
#include "fs/file.h"

bool file_is_pipe(const struct file *f);
/* Both are ends of pipes: of one and the same? */
bool pipes_are_same(struct file *a, struct file *b);
/* Move what is in a pipe to another one; keep: copy it (tee). */
MUST_CHECK int64_t splice_pipes(struct file *in, struct file *out, size_t len, bool nonblock, bool keep);
/* Fill the pipe from a file at *pos (not looked at if the file has no position), which is advanced. */
MUST_CHECK int64_t splice_to_pipe(
    struct file *in, uint64_t *pos, struct file *pipe, size_t len, bool nonblock);
/* Write what is in the pipe to a file at *pos. `how`: limits and privileges of the write, as in any uio; its
 * limit_hit is set. */
MUST_CHECK int64_t splice_from_pipe(
    struct file *pipe, struct file *out, uint64_t *pos, size_t len, bool nonblock, struct uio *how);
/* The same with the user's memory in the place of the file. */
MUST_CHECK int64_t splice_user_to_pipe(struct uio *u, struct file *pipe, bool nonblock);
MUST_CHECK int64_t splice_pipe_to_user(struct file *pipe, struct uio *u, bool nonblock);
/* Copy from one file with a position to a file that is no pipe. */
MUST_CHECK int64_t splice_files(
    struct file *in, uint64_t *in_pos, struct file *out, uint64_t *out_pos, size_t len, struct uio *how);
