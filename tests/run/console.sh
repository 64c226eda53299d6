#!/bin/sh
# The terminal on the serial port, with keys that are typed.
exec python3 tests/run/console.py
