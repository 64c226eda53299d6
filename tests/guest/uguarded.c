/* uguarded.c - the attacks of uharden.c by a program that says of itself that it is under all rules. */
#include "uharden.c"

QUIRE_GUARDED(15);
