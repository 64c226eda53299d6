#pragma once
/* procfs_mm.h - the files of /proc that tell of frames. */
#include "fs/text.h"

void mm_show(struct text *t, struct vnode *v);
void mm_show_buddyinfo(struct text *t, struct vnode *v);
void mm_show_zoneinfo(struct text *t, struct vnode *v);
