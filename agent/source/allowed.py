"""The allow-list of the capability lint for training code. Anything else is flagged.

Modules have their full dotted path, and only the listed names of each may be used. The arithmetic
of torch and numpy, and the attributes of values, are in `agent.source.public_names`. All other
names are here.
"""

import builtins
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from agent.source import public_names
from agent.source.public_names import listed

# The names that a script may use from `prepare.py` and `kernels.py` of
# `trainer/language_model/harness/`: those of autoresearch, and the facts about the card.
HARNESS: Final = {
    "prepare": listed(
        """
        CARD COMPILES DATASET_CHOICES EVAL_TOKENS MAX_SEQ_LEN SEED TIME_BUDGET TOKEN_BUDGET
        Tokenizer VOCAB_SIZE evaluate_bpb get_token_bytes make_dataloader warmup_batch
        """
    ),
    "kernels": listed("flash_attn_func get_kernel"),
}
OWN_PACKAGES: Final = listed("agent bootstrap node protocol trainer")

_PLAIN: Final = {
    "__future__": "annotations",
    "abc": "ABC abstractmethod",
    "bisect": "bisect bisect_left bisect_right insort insort_left insort_right",
    "cmath": "cos e exp inf log nan phase pi polar rect sin sqrt",
    "collections": "ChainMap Counter OrderedDict abc defaultdict deque namedtuple",
    "collections.abc": "Callable Collection Container Generator Hashable Iterable Iterator Mapping"
    " MutableMapping MutableSequence Sequence Set Sized",
    "contextlib": "ExitStack contextmanager nullcontext suppress",
    "copy": "copy deepcopy",
    "dataclasses": "KW_ONLY asdict astuple dataclass field fields is_dataclass replace",
    "enum": "Enum Flag IntEnum IntFlag StrEnum auto unique",
    "functools": "cache cached_property cmp_to_key lru_cache partial reduce total_ordering wraps",
    "gc": "collect disable enable freeze get_count get_threshold isenabled set_threshold unfreeze",
    "heapq": "heapify heappop heappush heappushpop heapreplace merge nlargest nsmallest",
    "itertools": "accumulate batched chain combinations combinations_with_replacement compress"
    " count cycle dropwhile filterfalse groupby islice pairwise permutations product repeat"
    " starmap takewhile tee zip_longest",
    "json": "dumps loads",
    "math": "acos acosh asin asinh atan atan2 atanh cbrt ceil comb copysign cos cosh degrees dist e"
    " erf erfc exp exp2 expm1 fabs factorial floor fma fmod frexp fsum gamma gcd hypot inf isclose"
    " isfinite isinf isnan isqrt lcm ldexp lgamma log log10 log1p log2 modf nan nextafter perm pi"
    " pow prod radians remainder sin sinh sqrt sumprod tan tanh tau trunc ulp",
    "numbers": "Complex Integral Number Rational Real",
    "os": "environ name",  # of the environment only the settings below
    "random": "Random betavariate choice choices expovariate gauss getrandbits getstate"
    " normalvariate randbytes randint random randrange sample seed setstate shuffle triangular"
    " uniform",
    "statistics": "fmean geometric_mean harmonic_mean linear_regression mean median mode pstdev"
    " pvariance quantiles stdev variance",
    # Not the streams: the type of their underlying object opens files.
    "sys": "byteorder exit float_info maxsize platform version version_info",
    "time": "gmtime localtime monotonic monotonic_ns perf_counter perf_counter_ns process_time"
    " process_time_ns sleep strftime time time_ns",
    "typing": "Annotated Any Callable ClassVar Dict Final FrozenSet Generator Generic Iterable"
    " Iterator List Literal Mapping NamedTuple NewType Optional ParamSpec Protocol Self Sequence"
    " Set TYPE_CHECKING Tuple Type TypeAlias TypeVar Union cast final overload",
    "warnings": "filterwarnings simplefilter warn",
}
# Modules inside torch and numpy, and their names if not all public ones are arithmetic.
_TORCH: Final = {
    "numpy": "fft linalg random",
    "torch": "amp autograd backends compiler cuda fft func linalg mps nn optim random special"
    " utils version xpu _dynamo _inductor",
    "torch._dynamo": "config disable graph_break mark_dynamic mark_static reset",
    "torch._dynamo.config": "",
    "torch._inductor": "config",
    "torch._inductor.config": "",
    "torch.amp": "GradScaler autocast custom_bwd custom_fwd is_autocast_available",
    "torch.autograd": "Function backward detect_anomaly enable_grad forward_ad functional grad"
    " inference_mode no_grad set_detect_anomaly set_grad_enabled",
    "torch.autograd.functional": "hessian hvp jacobian jvp vhp vjp",
    "torch.backends": "cpu cuda cudnn mkldnn mps opt_einsum",
    "torch.backends.cpu": "get_cpu_capability",
    "torch.backends.cuda": "can_use_efficient_attention can_use_flash_attention"
    " cudnn_sdp_enabled enable_cudnn_sdp enable_flash_sdp enable_math_sdp enable_mem_efficient_sdp"
    " flash_sdp_enabled is_built math_sdp_enabled matmul mem_efficient_sdp_enabled"
    " preferred_linalg_library sdp_kernel",
    "torch.backends.cudnn": "allow_tf32 benchmark deterministic enabled is_available version",
    "torch.backends.mkldnn": "enabled is_available",
    "torch.backends.mps": "is_available is_built",
    "torch.backends.opt_einsum": "enabled is_available strategy",
    "torch.compiler": "cudagraph_mark_step_begin is_compiling reset",
    "torch.cuda": "CUDAGraph Event OutOfMemoryError Stream amp current_device current_stream"
    " default_stream device device_count empty_cache get_arch_list get_device_capability"
    " get_device_name get_device_properties get_rng_state graph initial_seed is_available"
    " is_bf16_supported is_initialized is_tf32_supported make_graphed_callables manual_seed"
    " manual_seed_all max_memory_allocated max_memory_reserved mem_get_info memory_allocated"
    " memory_reserved memory_stats memory_summary nvtx reset_accumulated_memory_stats"
    " reset_peak_memory_stats seed set_device set_per_process_memory_fraction"
    " set_rng_state set_stream set_sync_debug_mode stream synchronize",
    "torch.cuda.amp": "GradScaler autocast custom_bwd custom_fwd",
    "torch.cuda.nvtx": "mark range range_pop range_push",
    "torch.func": "functional_call grad grad_and_value hessian jacfwd jacrev jvp linearize"
    " stack_module_state vjp vmap",
    "torch.mps": "current_allocated_memory device_count driver_allocated_memory empty_cache"
    " manual_seed recommended_max_memory synchronize",
    "torch.nn": "attention functional init modules parameter utils",
    "torch.nn.attention": "SDPBackend activate_flash_attention_impl flex_attention sdpa_kernel"
    " varlen",
    "torch.nn.attention.flex_attention": "AuxRequest BlockMask and_masks create_block_mask"
    " create_mask flex_attention noop_mask or_masks",
    "torch.nn.attention.varlen": "varlen_attn",
    "torch.nn.modules": "",
    "torch.nn.parameter": "Parameter",
    "torch.nn.utils": "clip_grad_norm_ clip_grad_value_ clip_grads_with_norm_ get_total_norm"
    " parameters_to_vector parametrizations rnn spectral_norm vector_to_parameters weight_norm",
    "torch.nn.utils.parametrizations": "orthogonal spectral_norm weight_norm",
    "torch.nn.utils.rnn": "pack_padded_sequence pad_packed_sequence pad_sequence",
    "torch.optim": "lr_scheduler swa_utils",
    "torch.optim.swa_utils": "AveragedModel SWALR get_ema_avg_fn get_ema_multi_avg_fn"
    " get_swa_avg_fn get_swa_multi_avg_fn update_bn",
    "torch.random": "fork_rng get_rng_state initial_seed manual_seed seed set_rng_state",
    "torch.utils": "checkpoint data flop_counter",
    "torch.utils.checkpoint": "CheckpointPolicy checkpoint checkpoint_sequential"
    " create_selective_checkpoint_contexts",
    "torch.utils.data": "BatchSampler DataLoader Dataset IterableDataset RandomSampler"
    " SequentialSampler Subset TensorDataset default_collate random_split",
    "torch.utils.flop_counter": "FlopCounterMode",
    "torch.version": "cuda hip",
    "torch.xpu": "device_count empty_cache get_device_name get_device_properties is_available"
    " manual_seed manual_seed_all max_memory_allocated memory_allocated memory_reserved"
    " reset_peak_memory_stats synchronize",
}
_LISTED: Final = {**_PLAIN, **_TORCH}
# By dotted path: the allowed names of each module, including its submodules in this table.
MODULES: Final[Mapping[str, frozenset[str]]] = {
    **{
        path: listed(_LISTED.get(path, "")) | public_names.MODULES.get(path, frozenset())
        for path in {*_LISTED, *public_names.MODULES}
    },
    **HARNESS,
}
# The modules that people and models are told to import, without those that training rarely needs.
IMPORTS: Final = frozenset(path for path in MODULES if "." not in path) - listed(
    "json os sys warnings"
)

# Names in modules that may be assigned, outside `torch.backends` only to a constant. Any other
# assignment there would change code that others run.
_SWITCHES: Final = {
    "torch.backends.cuda.matmul": """
    allow_bf16_reduced_precision_reduction allow_fp16_accumulation
    allow_fp16_reduced_precision_reduction allow_tf32 fp32_precision
    """,
    "torch.backends.cudnn": "allow_tf32 benchmark benchmark_limit deterministic enabled",
    "torch.backends.mkldnn": "enabled",
    "torch.backends.opt_einsum": "enabled strategy",
    "torch._dynamo.config": """
    accumulated_cache_size_limit accumulated_recompile_limit allow_unspec_int_on_nn_module
    automatic_dynamic_shapes cache_size_limit capture_scalar_outputs compiled_autograd optimize_ddp
    recompile_limit suppress_errors verbose
    """,
    "torch._inductor.config": """
    aggressive_fusion b2b_gemm_pass benchmark_kernel coordinate_descent_check_all_directions
    coordinate_descent_tuning epilogue_fusion force_fuse_int_mm_with_mul fx_graph_cache max_autotune
    max_autotune_gemm max_autotune_gemm_backends max_autotune_pointwise
    reorder_for_compute_comm_overlap shape_padding triton.cudagraph_trees triton.cudagraphs
    triton.unique_kernel_names use_mixed_mm
    """,
}
SWITCHES: Final = frozenset(
    f"{path}.{name}" for path, names in _SWITCHES.items() for name in names.split()
)
# Environment settings that libraries read. None of them is a path, a program or an address.
SETTINGS: Final = listed(
    """
    CUBLAS_WORKSPACE_CONFIG CUDA_DEVICE_MAX_CONNECTIONS CUDA_LAUNCH_BLOCKING
    HF_HUB_DISABLE_PROGRESS_BARS HF_HUB_DISABLE_TELEMETRY MKL_NUM_THREADS OMP_NUM_THREADS
    PYTORCH_ALLOC_CONF PYTORCH_CUDA_ALLOC_CONF PYTORCH_ENABLE_MPS_FALLBACK TOKENIZERS_PARALLELISM
    TORCHINDUCTOR_FX_GRAPH_CACHE
    """
)
SETTING: Final = re.compile(r"[A-Za-z0-9_.:,\[\]-]{0,100}")
# Owners of kernels that a script may request by name: outside the sandbox a hub is asked for them.
KERNELS: Final = listed("kernels-community varunneal")
GET_KERNEL: Final = "kernels.get_kernel"

# The targets allowed for `print`. As ordinary values they would give access to files.
STREAMS: Final = listed("sys.stderr sys.stdout")

BUILTINS: Final = frozenset(
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
) | listed(
    """
    Ellipsis False None NotImplemented True
    abs all any ascii bin bool bytearray bytes callable chr classmethod complex delattr dict divmod
    enumerate exit filter float format frozenset getattr hasattr hash hex id int isinstance
    issubclass iter len list map max min next object oct ord pow print property quit range repr
    reversed round set setattr slice sorted staticmethod str sum super tuple type zip
    """
)
# These may only be called, and only as `lint` allows, because they access names given as strings.
BY_NAME: Final = listed("delattr getattr hasattr setattr")

DUNDER_ATTRIBUTES: Final = listed(
    """
    __call__ __enter__ __exit__ __getitem__ __init__ __iter__ __len__ __name__ __next__
    __post_init__ __repr__ __setitem__ __str__ __version__
    """
)
DUNDER_METHODS: Final = listed(
    """
    __add__ __bool__ __call__ __contains__ __enter__ __eq__ __exit__ __float__ __ge__ __getitem__
    __gt__ __hash__ __init__ __int__ __iter__ __le__ __len__ __lt__ __mul__ __neg__ __next__
    __post_init__ __radd__ __repr__ __rmul__ __setitem__ __str__ __sub__ __truediv__
    """
)
DUNDER_NAMES: Final = listed("__name__")
DUNDER_STORES: Final = listed("__all__ __author__ __slots__ __version__")


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """The permitted uses of a name that could do harm: its calls, and its uses without a call.

    A call may have at most `positional` positional arguments, and the keyword arguments in
    `keywords`, `plain` and `words`. Arguments in `plain` must be a number, truth value, None, name
    in capitals, or a dict of these. Arguments in `words` must be one of the words listed for them.
    `alone` lists the permitted uses without a call: as a decorator, as a base class ("base"), or as
    an argument of `torch.compile` or `functools.partial` ("wrapped").
    """

    positional: int = 0
    keywords: frozenset[str] = frozenset()
    plain: frozenset[str] = frozenset()
    words: Mapping[str, frozenset[str]] = field(default_factory=dict)
    alone: frozenset[str] = frozenset()  # of "decorator", "base", "wrapped"


_COMPILE: Final = Use(
    positional=1,
    keywords=listed("disable dynamic fullgraph"),
    plain=listed("options"),
    words={
        "mode": listed("default max-autotune max-autotune-no-cudagraphs reduce-overhead"),
        "backend": listed("aot_eager cudagraphs eager inductor"),
    },
    alone=listed("decorator"),
)
COMPILE_METHOD: Final = "compile"  # a method of every torch module: `model.compile()`
_ENUM: Final = Use(positional=1, alone=listed("base"))
USES: Final[Mapping[str, Use]] = {
    "torch.compile": _COMPILE,
    "collections.namedtuple": Use(positional=2, keywords=listed("defaults")),
    "dataclasses.dataclass": Use(
        positional=1,
        plain=listed("eq frozen init kw_only order repr slots"),
        alone=listed("decorator"),
    ),
    **{f"enum.{kind}": _ENUM for kind in ("Enum", "Flag", "IntEnum", "IntFlag", "StrEnum")},
    "functools.wraps": Use(positional=1),
    "typing.NamedTuple": Use(alone=listed("base")),
    "typing.NewType": Use(positional=2),
    "torch.nn.attention.activate_flash_attention_impl": Use(
        positional=1, words={"impl": listed("FA2 FA3 FA4")}
    ),
    "torch.nn.attention.flex_attention.flex_attention": Use(
        positional=8,
        keywords=listed("block_mask enable_gqa return_aux return_lse scale score_mod"),
        plain=listed("kernel_options"),
        alone=listed("wrapped"),
    ),
}
