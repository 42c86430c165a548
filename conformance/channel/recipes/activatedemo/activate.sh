export ACTIVATEDEMO="plain value"
export ACTIVATEDEMO_DATA="$CONDA_PREFIX/data"
