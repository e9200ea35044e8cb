"""One module for each family of models that advances by the step. `family` holds the protocol, `registry` the list."""
