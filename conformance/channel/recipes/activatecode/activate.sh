if [ -n "$HOME" ]; then
  export ACTIVATECODE=$(date)
fi
