"""The position of a node in an AST: its ancestors, and what they imply."""

import ast

from agent.source import allowed, calls


class Tree:
    """The parents of all nodes of a file. `read` are readable environment variables."""

    def __init__(self, module: ast.Module, read: frozenset[str]) -> None:
        self._read = read
        self.parents = {
            id(child): node for node in ast.walk(module) for child in ast.iter_child_nodes(node)
        }

    def is_setting(self, node: ast.expr) -> bool:
        """Return whether `os.environ` only sets a harmless setting or reads an allowed one."""
        parent = self.parents[id(node)]
        above = self.parents.get(id(parent))
        match parent, above:
            case ast.Subscript(slice=name, ctx=ast.Store()), ast.Assign(value=value):
                return calls.is_setting(name, value)
            case ast.Subscript(slice=ast.Constant(value=str() as read), ctx=ast.Load()), _:
                return read in self._read
            case ast.Attribute(attr="get"), ast.Call(args=[ast.Constant(value=str() as read), *_]):
                return calls.is_called(parent, above) and read in self._read
            case ast.Attribute(attr="setdefault"), ast.Call(args=[name, value], keywords=[]):
                return calls.is_called(parent, above) and calls.is_setting(name, value)
        return False

    def is_fine_method(self, node: ast.AST) -> bool:
        """Return whether a node is a method whose dunder name is allowed in every class."""
        is_method = isinstance(self.parents.get(id(node)), ast.ClassDef)
        return is_method and getattr(node, "name", "") in allowed.DUNDER_METHODS

    def is_tested(self, node: ast.AST) -> bool:
        """Return whether a node is only tested for truth or identity."""
        parent = self.parents.get(id(node))
        match parent:
            case ast.Compare(ops=ops):
                return all(isinstance(one, ast.Is | ast.IsNot) for one in ops)
            case ast.UnaryOp(op=ast.Not()):
                return True
            case ast.BoolOp(op=ast.And(), values=values) if node is not values[-1]:
                return True  # its value is used only if it is false, which no module is
            case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
                return test is node
            case ast.BoolOp():
                top = self.parents.get(id(parent))
                return isinstance(top, ast.If | ast.While | ast.IfExp) and top.test is parent
        return False

    def is_of_self(self, node: ast.expr) -> bool:
        """Return whether a name is `self`, the first parameter of an enclosing method."""
        above: ast.AST | None = node
        while isinstance(node, ast.Name) and (above := self.parents.get(id(above))) is not None:
            if isinstance(above, ast.FunctionDef) and isinstance(
                self.parents[id(above)], ast.ClassDef
            ):
                return [one.arg for one in above.args.args[:1]] == [node.id] == ["self"]
        return False

    def shown(self, node: ast.AST) -> ast.AST:
        """Return the code to show for a node: its attribute chain, with the call or assignment."""
        shown = node
        while id(shown) in self.parents:
            parent = self.parents[id(shown)]
            is_chain = isinstance(parent, ast.Attribute | ast.Subscript) and parent.value is shown
            is_call = isinstance(parent, ast.Call) and parent.func is shown
            is_set = isinstance(parent, ast.Assign | ast.AugAssign) and parent.value is not shown
            if is_set:
                return parent
            if not isinstance(shown, ast.Attribute | ast.Name | ast.Subscript) or not (
                is_chain or is_call
            ):
                break
            shown = parent
        return shown
