#!/bin/sh
# The driver of a serial port, from both ends of the line.
exec python3 tests/run/serial.py
