#!/usr/bin/env python3
"""compdb.py COMMAND FILE... - print compile_commands.json for editors and analysers."""
import json
import os
import sys

command, files = sys.argv[1], sys.argv[2:]
json.dump([{"directory": os.getcwd(), "file": f, "command": f"{command} -c {f}"} for f in files], sys.stdout, indent=1)
print()
