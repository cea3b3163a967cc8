"""The commands of `heyday`. Each is a module or a package with `add_arguments(parser)` and `run(args, environment)`."""
