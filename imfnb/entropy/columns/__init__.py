"""The baseline profile's other coder: columns of U and V with adaptive tables, their symbols in lanes."""
