"""The commands, one module per group. `cli` lists them and imports a module when it is used."""
