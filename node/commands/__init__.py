"""One module per group of commands; `cli` names them in a table and imports them when used."""
