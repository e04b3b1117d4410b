"""What compiles and runs the generator, a module or package for each backend."""
