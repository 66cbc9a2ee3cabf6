"""One module per group of commands; `node.commands.cli` names them in a table and imports them when used."""
