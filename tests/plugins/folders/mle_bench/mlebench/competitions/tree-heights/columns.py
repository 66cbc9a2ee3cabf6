KEY = "tree"
TARGET = "height"
UNUSED = "nobody asks for this"
