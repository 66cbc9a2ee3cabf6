"""What training code needs, and what leads out of it: the tables of the capability lint.

Modules are named as they are imported. A component is one name of a dotted chain.
"""

from typing import Final

# The names of `trainer/harness/prepare.py` and `kernels.py` that a script may use; autoresearch's.
HARNESS: Final = {
    "prepare": frozenset(
        {
            "DATASET_CHOICES", "EVAL_TOKENS", "MAX_SEQ_LEN", "SEED", "TIME_BUDGET", "TOKEN_BUDGET",
            "Tokenizer", "VOCAB_SIZE", "evaluate_bpb", "get_token_bytes", "make_dataloader",
            "warmup_batch",
        }
    ),
    "kernels": frozenset({"flash_attn_func", "get_kernel"}),
}  # fmt: skip
OWN_PACKAGES: Final = frozenset({"agent", "bootstrap", "node", "protocol", "trainer"})

MODULES: Final = frozenset(
    {
        "__future__", "abc", "bisect", "cmath", "collections", "contextlib", "copy", "dataclasses",
        "enum", "functools", "gc", "heapq", "itertools", "math", "numbers", "numpy", "random",
        "statistics", "time", "torch", "typing", *HARNESS,
    }
)  # fmt: skip

# Components that no chain below these modules may have: loaders, compilers of foreign code,
# other processes, whatever writes files.
WITHIN: Final = {
    "torch": frozenset(
        {
            "ao", "classes", "contrib", "datapipes", "distributed", "export", "futures", "fx",
            "gds", "hub", "jit", "jiterator", "library", "load_cache_artifacts", "monitor",
            "multiprocessing", "nativert", "nccl", "numa", "onnx", "ops", "overrides", "package",
            "profiler", "quantization", "save_cache_artifacts", "serialization", "storage",
            "testing", "torch_version", "tunable",
        }
    ),
    "numpy": frozenset({"compat", "core", "ctypeslib", "distutils", "f2py", "lib", "testing"}),
    "gc": frozenset({"callbacks", "garbage", "get_objects", "get_referents", "get_referrers"}),
    "typing": frozenset({"ForwardRef", "get_type_hints"}),
    "dataclasses": frozenset({"make_dataclass"}),
}  # fmt: skip
TORCH_UTILS: Final = frozenset({"checkpoint", "data", "deterministic", "flop_counter"})
# Where a script sets switches; any other store into a module changes what others run.
SWITCHES: Final = ("torch.backends.",)

BUILTINS: Final = frozenset(
    {
        "__builtins__", "__import__", "breakpoint", "eval", "exec", "globals", "locals", "open",
        "vars",
    }
)  # fmt: skip
# Builtins that scripts have variables of the same name as; marked when called, or never bound.
SHADOWED_BUILTINS: Final = frozenset({"compile", "help", "input"})
BY_NAME: Final = frozenset({"delattr", "getattr", "hasattr", "setattr"})

DUNDER_ATTRIBUTES: Final = frozenset(
    {
        "__call__", "__enter__", "__eq__", "__exit__", "__getitem__", "__hash__", "__init__",
        "__init_subclass__", "__iter__", "__len__", "__name__", "__next__", "__post_init__",
        "__repr__", "__setitem__", "__str__", "__version__",
    }
)  # fmt: skip
DUNDER_NAMES: Final = frozenset({"__name__"})
DUNDER_STORES: Final = frozenset({"__all__", "__author__", "__slots__", "__version__"})

# Attributes that lead to another module, whoever has them; with and without leading underscores.
# `torch` among them: found behind something else it is not followed any more. (`numpy` is not: it
# is what tensors call their conversion.)
MODULE_ATTRIBUTES: Final = frozenset(
    {
        "ast", "asyncio", "atexit", "bdb", "bltns", "builtins", "cffi", "codeop", "concurrent",
        "cpp_extension", "ctypes", "ctypeslib", "dis", "faulthandler", "fcntl", "ftplib", "glob",
        "http", "imp", "importlib", "inspect", "io", "linecache", "marshal", "mmap",
        "multiprocessing", "np", "nt", "operator", "os", "pathlib", "pdb", "pickle", "pkgutil",
        "platform", "posix", "pty", "requests", "runpy", "selectors", "shelve", "shutil",
        "smtplib", "socket", "sqlite3", "ssl", "subprocess", "sys", "sysconfig", "tarfile",
        "telnetlib", "tempfile", "thread", "threading", "torch", "tracemalloc", "types", "urllib",
        "webbrowser", "xmlrpc", "zipfile", "zipimport",
    }
)  # fmt: skip
REFLECTIVE_ATTRIBUTES: Final = frozenset(
    {
        "_current_frames", "_getframe", "ag_code", "ag_frame", "co_code", "co_consts", "co_names",
        "cr_code", "cr_frame", "exec_module", "f_back", "f_builtins", "f_code", "f_globals",
        "f_locals", "f_trace", "find_spec", "func_code", "func_globals", "gi_code", "gi_frame",
        "import_module", "load_module", "mro", "setprofile", "settrace", "tb_frame", "tb_next",
    }
)  # fmt: skip
FILE_ATTRIBUTES: Final = frozenset(
    {
        "DataSource", "chmod", "download_url_to_file", "dump", "dumps", "exec", "execv",
        "execve", "export_chrome_trace", "fork", "from_file", "fromfile", "fromregex",
        "genfromtxt", "load", "load_library", "load_state_dict_from_url", "loads", "loadtxt",
        "makedirs", "memmap", "mkdir", "open", "open_memmap", "popen", "putenv", "read_bytes",
        "read_text", "rmtree", "save", "savetxt", "savez", "savez_compressed", "symlink",
        "system", "tofile", "unlink", "urlopen", "urlretrieve", "write_bytes", "write_text",
    }
)  # fmt: skip
