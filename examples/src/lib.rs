//! Nothing: the examples stand beside this folder, a file each.
