#!/bin/sh
# The console on a framebuffer: typed at and read like a person would, but by a program.
exec python3 tests/run/display.py
