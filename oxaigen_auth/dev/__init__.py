"""What helps to develop an app that uses this package, and has no place in production."""
