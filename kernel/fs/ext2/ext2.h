#pragma once
/* ext2.h - the ext2 file system on block devices, for reading and writing. See docs/ext2.md. */
#include "fs/vnode.h"

extern const struct fs_ops ext2_fs_ops; /* "ext2" */
