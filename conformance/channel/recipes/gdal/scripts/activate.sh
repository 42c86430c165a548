#!/bin/bash
if [[ -n "${GDAL_DATA:-}" ]]; then
  export _CONDA_SET_GDAL_DATA="${GDAL_DATA}"
fi

if [[ -n "${GDAL_DRIVER_PATH:-}" ]]; then
  export _CONDA_SET_GDAL_DRIVER_PATH="${GDAL_DRIVER_PATH}"
fi

if [[ -d "${CONDA_PREFIX}/share/gdal" ]]; then
  export GDAL_DATA="${CONDA_PREFIX}/share/gdal"
  export GDAL_DRIVER_PATH="${CONDA_PREFIX}/lib/gdalplugins"
elif [[ -d "${CONDA_PREFIX}/Library/share/gdal" ]]; then
  export GDAL_DATA="${CONDA_PREFIX}/Library/share/gdal"
  export GDAL_DRIVER_PATH="${CONDA_PREFIX}/Library/lib/gdalplugins"
fi

# Vsicurl and its like find the certificates of the environment.
export CPL_ZIP_ENCODING=UTF-8
