#!/bin/bash
set -e
echo "$PKG_NAME $PREFIX" > "$PREFIX/share/postlinkdemo.txt"
