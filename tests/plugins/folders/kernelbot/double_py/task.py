"""What goes in and comes out."""

input_t = list[int]
output_t = list[int]
