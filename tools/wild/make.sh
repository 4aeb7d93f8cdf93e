#!/bin/sh
# Makes every file of `omnie eval wild` again: tools/wild/make.sh SCRATCH. Needs Python, Node 20, pip, npm and apt-get (two Debian
# packages are unpacked into SCRATCH, nothing is installed). The labels, in cases.toml, are written by hand.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out="$here/../../src/omnie/evaluation/wild/files"
mkdir -p "$1" && cd "$1"
python3 -m venv venv
venv/bin/pip install --quiet -r "$here/requirements.txt"
venv/bin/pip download --quiet --no-deps --no-binary ocrmypdf ocrmypdf==17.13.0
tar xzf ocrmypdf-17.13.0.tar.gz
apt-get download sound-theme-freedesktop
dpkg -x sound-theme-freedesktop_*.deb sounds
cp "$here/package.json" "$here"/*.mjs .
npm install --silent --no-audit --no-fund
mkdir -p "$out"
for script in charts pages speech photos; do venv/bin/python "$here/$script.py" "$out"; done
venv/bin/python "$here/lines.py" "$out" ocrmypdf-17.13.0
venv/bin/python "$here/clips.py" "$out" sounds/usr/share/sounds/freedesktop/stereo
for script in charts lines speech; do node "$script.mjs" "$out"; done
