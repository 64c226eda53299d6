#!/bin/sh
# ./quire and the guest's first program, on the host: a script takes QEMU's place.
exec python3 tests/launcher/test_launcher.py
