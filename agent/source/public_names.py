"""Public names of torch and numpy that candidates may use, and allowed attributes of any value.

`tools/allow_list.py` generates the names of torch and numpy in `allow_list.json`. It leaves out all
names that read or write files, load code or start processes (`tools/allow_list.toml`). A test fails
if the file does not fit the pinned versions. After an upgrade of torch or numpy, read the diff of
`allow_list.json` before you commit it: candidates may use every added name. This module lists the
attributes of Python's own values.

The check reads a candidate's text, so it does not know the type of the value before a dot. It
allows an attribute in two cases:

- The attribute is in `KNOWN`: it is harmless on every value that has it. Examples are the
  arithmetic of tensors and arrays, and plain methods of Python's values, of modules, optimizers and
  random generators.
- The candidate itself defines the attribute, and it is not in `TAKEN`. `TAKEN` lists the unsafe
  attributes of other reachable values: storages, pickles, memory, files, frames, class internals.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final


def listed(text: str) -> frozenset[str]:
    """Return the names in a text, separated by blanks and line ends."""
    return frozenset(text.split())


_DATA: Final[Mapping[str, Any]] = json.loads(
    Path(__file__).with_name("allow_list.json").read_text("utf-8")
)
# By dotted path: the names of each module, without submodules.
MODULES: Final[Mapping[str, frozenset[str]]] = {
    path: frozenset(names) for path, names in _DATA["modules"].items()
}
KNOWN: Final = frozenset[str](_DATA["known"]) | listed(
    """
    BLOCK_SIZE L2_cache_size affine allow_tf32 appendleft autocast averaged_model base_lrs
    batch_first batch_size benchmark betavariate bias binomialvariate bit_length cache_clear
    cache_info cache_parameters callback choices clock_rate close collate_fn currsize dataset
    default default_factory defaults deterministic difference difference_update dilation
    discard drop_last elements elementwise_affine embed_dim embedding_dim enabled enter_context
    expovariate extendleft flash_attn_func flash_attn_interface flash_attn_varlen_func
    flash_attn_with_kvcache from_bytes from_directory from_iterable fromkeys full_kv_indices
    full_kv_num_blocks full_q_indices full_q_num_blocks func gammavariate gauss gcnArchName get
    get_bos_token_id get_vocab_size getrandbits getter groups hidden_size hits in_channels
    in_features in_proj_weight inplace input_size intersection intersection_update is_available
    is_integrated isdisjoint issubset issuperset kernel_size keywords kv_indices kv_num_blocks
    last_epoch lognormvariate major mask_mod max_threads_per_multi_processor maxlen maxsize
    minor misses module momentum most_common move_to_end multi_processor_count negative_slope
    normalized_shape normalvariate num_embeddings num_features num_heads num_layers num_workers
    out_channels out_features out_proj p padding padding_idx param_groups paretovariate pop_all
    popitem popleft push q_indices q_num_blocks randbytes randrange remove reverse rotate
    running_mean running_var sample send seq_lengths setdefault setter shared_memory_per_block
    start state stop swap_swa_sgd symmetric_difference tm_hour tm_mday tm_min tm_mon tm_sec
    tm_wday tm_yday tm_year to_bytes total total_memory training union vonmisesvariate
    warp_size weibullvariate weight weight_ih_l0 with_options
    """
)
TAKEN: Final = frozenset[str](_DATA["taken"]) | listed(
    """
    VERSION __entries _abc_caches_clear _abc_registry_clear _benchmark _cffi
    _check_for_existing_members_ _co_code_adaptive _convert_ _create_ _create_cb_wrapper
    _create_exit_wrapper _ctypes _dump_registry _field_type _find_data_repr_ _find_data_type_
    _find_new_ _get_mixins_ _get_user_fn _keep_positive _key_to_attr _legacy_seeding
    _push_cm_exit _push_exit_callback _randbelow _randbelow_with_getrandbits
    _randbelow_without_getrandbits _seed_seq _varname_from_oparg aclose ag_await ag_code
    ag_frame ag_running apply_jvp asend athrow capsule cffi co_argcount co_cellvars co_code
    co_consts co_exceptiontable co_filename co_firstlineno co_flags co_freevars
    co_kwonlyargcount co_lines co_linetable co_lnotab co_name co_names co_nlocals co_positions
    co_posonlyargcount co_qualname co_stacksize co_varnames cr_await cr_code cr_frame cr_origin
    cr_running cr_suspended errno f_back f_builtins f_code f_globals f_lasti f_lineno f_locals
    f_trace f_trace_lines f_trace_opcodes fdel fget fork fset getstate gi_code gi_frame
    gi_running gi_suspended gi_yieldfrom jumped lock mro n_fields n_sequence_fields
    n_unnamed_fields popen random_raw register setstate strerror symmetric_difference_update
    system tb_frame tb_lasti tb_lineno tb_next throw tm_gmtoff tm_isdst tm_zone
    """
)
