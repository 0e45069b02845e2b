"""The programs behind `./dev`."""
