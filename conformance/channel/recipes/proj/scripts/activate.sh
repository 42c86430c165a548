#!/bin/bash
# What the user has set comes back when the environment is left.
if [[ -n "${PROJ_DATA:-}" ]]; then
  export _CONDA_SET_PROJ_DATA="${PROJ_DATA}"
fi

# On Linux the data is below share, on Windows below Library/share.
if [ -d "${CONDA_PREFIX}/share/proj" ]; then
  export PROJ_DATA="${CONDA_PREFIX}/share/proj"
elif [ -d "${CONDA_PREFIX}/Library/share/proj" ]; then
  export PROJ_DATA="${CONDA_PREFIX}/Library/share/proj"
fi

if [ -f "${PROJ_DATA}/copyright_and_licenses.csv" ]; then
  # proj-data is installed: nothing has to be fetched.
  export PROJ_NETWORK="OFF"
else
  export PROJ_NETWORK="ON"
fi
