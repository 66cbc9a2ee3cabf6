"""Names of attributes: which may be read of anything, and which no script may make its own.

A static reader does not know what stands before a dot. So a name is fine if whatever has it may be
used (`KNOWN`: the arithmetic of tensors and arrays, the plain methods of Python's own values, of
modules, optimizers and random generators), or if the script itself defines it and nothing within
reach has it too (`TAKEN`: storages, pickles, memory and files, frames, the insides of classes).
`tests/agent/test_allowed.py` finds what a new version of torch or numpy adds to neither.
"""

from typing import Final

from agent.source.operators import METHODS, listed

KNOWN: Final = METHODS | listed(
    """
    BLOCK_SIZE CUDNN_ATTENTION EFFICIENT_ATTENTION ERROR FLASH_ATTENTION H L2_cache_size MATH
    MUST_CPU_OFFLOAD MUST_RECOMPUTE MUST_SAVE OVERRIDEABLE PREFER_CPU_OFFLOAD PREFER_RECOMPUTE
    PREFER_SAVE T _asdict _fields _orig_mod _replace abbr absolute_ acc_dtype accumulate add_
    add_module add_note add_param_group addbmm_ addcdiv_ addcmul_ addmm_ addr_ affine allow_tf32
    append appendleft apply apply_ arctan2_ argpartition args as_integer_ratio as_subclass
    as_tuple astype at atan2_ averaged_model backward baddbmm_ base_lrs batch_first batch_size
    benchmark bernoulli_ beta betavariate bias binomialvariate bit_count bit_length bits
    bitwise_and_ bitwise_left_shift_ bitwise_not_ bitwise_or_ bitwise_right_shift_ bitwise_xor_
    buffers byte cache_clear cache_info cache_parameters callback capitalize casefold cauchy_
    ccol_indices center chalf char children chisquare choice choices choose clear clock_rate
    clone_state close coalesce col_indices collate_fn compress conjugate contiguous copy copy_
    copysign_ count cpu crow_indices cuda cumprod_ cumsum_ currsize data dataset decode default
    default_factory defaults denominator dense_dim deterministic device_index device_type
    difference difference_update digamma_ dilation dim dim_order dirichlet discard div_ divide_
    drop_last eig elapsed_time element_size elements elementwise_affine embed_dim embedding_dim
    enabled encode endswith enter_context eps epsneg eq_ erfinv_ eval expand expand_as
    expandtabs exponential exponential_ expovariate extend extendleft extra_repr fill_diagonal_
    find flash_attn_func flash_attn_interface flash_attn_varlen_func flash_attn_with_kvcache
    flat flatten_parameters float_power_ floor_divide_ fmod_ forward from_bytes from_directory
    from_iterable from_kv_blocks fromhex fromkeys full_kv_indices full_kv_num_blocks
    full_q_indices full_q_num_blocks func gamma gammavariate gauss gcnArchName ge_ geometric
    geometric_ get get_backoff_factor get_bos_token_id get_buffer get_flop_counts
    get_growth_factor get_last_lr get_lr get_parameter get_scale get_state get_submodule
    get_table get_total_flops get_vocab_size getrandbits getter grad grad_fn greater_
    greater_equal_ groups gt_ gumbel heaviside_ hex hidden_size hits hypergeometric hypot_
    igamma_ igammac_ in_channels in_cooldown in_features in_proj_weight index index_add_
    index_copy_ index_fill_ index_reduce_ indices inplace input_size insert instantiate integers
    intersection intersection_update is_available is_capturing is_coalesced is_contiguous is_cpu
    is_cuda is_enabled is_integer is_integrated is_leaf is_meta is_mps is_nested is_pinned
    is_quantized is_sparse isalnum isalpha isascii isdecimal isdigit isdisjoint isidentifier
    islower isnumeric isprintable isspace issubset issuperset istitle isupper item items
    itemsize join jvp kernel_size keys keywords kv_indices kv_num_blocks laplace last_epoch le_
    lerp_ less_ less_equal_ lgamma_ ljust load_state_dict log_normal_ log_prob logical_and_
    logical_not_ logical_or_ logical_xor_ logistic lognormal lognormvariate logseries lower lse
    lstrip lstsq lt_ mH mT major maketrans map2_ map_ mark_dirty mark_non_differentiable
    mask_mod masked_fill_ masked_scatter_ max_scores max_threads_per_multi_processor maxlen
    maxsize minor misses module modules momentum most_common move_to_end mul_
    multi_processor_count multiply_ multivariate_normal mvlgamma_ name named_buffers
    named_children named_modules named_parameters nbytes ndim ndimension ne_ needs_input_grad
    negative_slope nelement new_empty new_empty_strided new_full new_ones new_tensor new_zeros
    nextafter_ normal_ normalized_shape normalvariate not_equal_ num_embeddings num_features
    num_heads num_layers num_samples num_workers numerator numpy out_channels out_features
    out_proj p padding padding_idx param_groups parameters pareto paretovariate partition
    permutation permuted pin_memory polygamma_ pool pop pop_all popitem popleft pow_ power
    predict push put_ q_indices q_num_blocks query randbytes random random_ random_sample
    randrange rayleigh record record_event record_stream reduce reduceat register_buffer
    register_forward_hook register_forward_pre_hook register_full_backward_hook
    register_full_backward_pre_hook register_hook register_module register_parameter
    register_post_accumulate_grad_hook register_step_post_hook register_step_pre_hook remainder_
    remove removeprefix removesuffix renorm_ repeat replace replay requires_grad requires_grad_
    reset reset_parameters reset_running_stats reshape_as resolution retain_grad retains_grad
    reverse rfind rindex rjust rotate row_indices rpartition rsplit rstrip running_mean
    running_var sample save_for_backward saved_tensors scale scatter_ scatter_add_
    scatter_reduce_ send seq_lengths set_growth_interval set_materialize_grads set_state
    setdefault setter setup_context sgn_ shape shared_memory_per_block shuffle sign_ size
    smallest_normal solve sparse_dim sparsity splitlines squeeze_ standard_cauchy
    standard_exponential standard_gamma standard_normal standard_t start startswith state
    state_dict step stop stride strides strip sub_ subtract_ sum_to_size swap_swa_sgd swapaxes_
    swapcase swapdims_ symeig symmetric_difference synchronize t_ tiny title tm_hour tm_mday
    tm_min tm_mon tm_sec tm_wday tm_yday tm_year to to_bytes to_complex to_dense to_empty
    to_padded_tensor to_real to_sparse to_sparse_bsc to_sparse_bsr to_sparse_coo to_sparse_csc
    to_sparse_csr to_string tobytes tolist total total_memory train training translate
    transpose_ triangular tril_ triu_ true_divide_ type type_as unfold uniform uniform_ union
    unscale_ unsqueeze_ update update_parameters upper value values view view_as vonmises
    vonmisesvariate wait wait_event wait_stream wald warp_size weibull weibullvariate weight
    weight_ih_l0 with_options zero_grad zfill zipf
    """
)

TAKEN: Final = listed(
    """
    OptimizerPostHook OptimizerPreHook T_destination VERSION _CONTEXT_ATTRS
    _DataLoader__initialized _TENSOR_ATTRS __entries _abc_caches_clear _abc_impl
    _abc_registry_clear _accelerator_graph_capture_health_check _addmm_activation
    _allowed_methods _annealing_cos _annealing_linear _apply_instance_norm _as_parameter_
    _auto_collation _autocast_to_full_precision _autocast_to_reduced_precision _backward_cls
    _backward_hooks _benchmark _bit_generator _byteswap _call_impl _cdata _cffi
    _check_for_existing_members_ _check_inf_per_device _check_input_dim
    _check_non_zero_input_channels _check_scale_growth_tracker _checkpoint_offset
    _clear_non_serializable_cached_data _clone_param _co_code_adaptive _coalesced_
    _compiled_autograd_backward_state _compiled_autograd_key _compiled_call_impl _conj_physical
    _convert_ _create_ _create_cb_wrapper _create_exit_wrapper _ctypes
    _cuda_graph_capture_health_check _data_ptr _deepcopy _dimI _dimV _directional_evaluate
    _dq_kv_order _dtensor__new__ _dtype _dump_registry _element_size _exp_range_scale_fn
    _expired _fake_device _field_defaults _field_type _fill_padding_idx_with_zero
    _find_data_repr_ _find_data_type_ _find_new_ _finfo_cache _fix_weakref _flatten_with_keys
    _free_weak_ref _from_buffer _gather_flat_grad _get_abs_string_index _get_backward_hooks
    _get_backward_pre_hooks _get_closed_form_lr _get_compiled_autograd_symints _get_filename
    _get_full_log_prob _get_growth_tracker _get_in_channels _get_initial_lr _get_item_by_idx
    _get_iterator _get_legacy_storage_class _get_lr_called_within_step _get_mixins_
    _get_no_batch_dim _get_num_spatial_dims _get_shared_fd _get_strided_loop _get_user_fn
    _getitem _group_tensors_by_device_and_dtype _has_symbolic_sizes_strides _index_sampler
    _infer_parameters _init_flat_weights _input_metadata _is_all_true _is_any_true _is_protocol
    _is_pure_view _is_shared _is_zerotensor _keep_positive _key_to_attr _lazy_clone
    _lazy_init_scale_growth_tracker _lazy_load_hook _legacy_seeding _load_from_state_dict _make
    _make_subclass _make_wrapper_subclass _materialize_non_diff_grads _maybe_opt_step
    _maybe_warn_non_full_backward_hook _maybe_wrap_index _module_source _named_members _nbytes
    _nested_tensor_size _nested_tensor_storage_offsets _nested_tensor_strides _new_shared
    _new_shared_cuda _new_shared_fd_cpu _new_shared_filename_cpu _new_using_fd_cpu
    _new_using_filename_cpu _new_with_file _new_with_weak_ptr _new_wrapped_storage
    _optimizer_step_code _output_padding _patch_step_function _philox_normal_ _philox_uniform_
    _pickle_storage_type _poisson_lam_max _post_accumulate_grad_hooks
    _process_value_according_to_param_policy _push_cm_exit _push_exit_callback
    _pybind11_conduit_v1_ _python_dispatch _randbelow _randbelow_with_getrandbits
    _randbelow_without_getrandbits _raw_saved_tensors _reduce_ex_internal _register_hook
    _register_hook_dict _register_load_state_dict_pre_hook _register_state_dict_hook
    _release_ipc_counter _release_ipc_counter_cuda _replicate_for_data_parallel
    _require_tuple_int _resize_ _resize_with_addr_ _resolve_auto_acc_dtype
    _resolve_dtypes_and_context _rev_view_func_unsafe _save_to_state_dict _seed_seq _sequence_nr
    _set_anneal_func _set_cdata _set_from_file _set_sequence_nr _setitem _share_cuda_
    _share_fd_cpu_ _share_filename_cpu_ _share_memory_ _shared_decref _shared_incref _size
    _slice_dq_kv_order _slow_forward _sparse_mask_projection _swap_data_ptr_ _to _to_dense
    _to_sparse _to_sparse_bsc _to_sparse_bsr _to_sparse_csc _to_sparse_csr _triangular2_scale_fn
    _triangular_scale_fn _typed_storage _unscale_grads_ _unwrap_context_value
    _update_flat_weights _use_count _varname_from_oparg _view_func _view_func_unsafe _weak_ref
    _weights_have_changed _wrap_context_value _wrapped_call_impl _write_file acc_policy aclose
    ag_await ag_code ag_frame ag_running all_weights allow_retain_graph apply_jvp asend athrow
    batch_chunk_size bit_generator boxed_grads_call bytes byteswap call_super_init capsule
    capture_begin capture_end cffi check_forward_args check_hidden_size
    check_worker_number_rationality chunking_method clear_saved_tensors_on_access cls_to_become
    co_argcount co_cellvars co_code co_consts co_exceptiontable co_filename co_firstlineno
    co_flags co_freevars co_kwonlyargcount co_lines co_linetable co_lnotab co_name co_names
    co_nlocals co_positions co_posonlyargcount co_qualname co_stacksize co_varnames
    complex_double complex_float const_data_ptr convert_sync_batchnorm cr_await cr_code cr_frame
    cr_origin cr_running cr_suspended ctypes data_ptr debug_dump dequantize dirty_tensors dump
    dump_patches dumps enable_debug_mode errno f_back f_builtins f_code f_globals f_lasti
    f_lineno f_locals f_trace f_trace_lines f_trace_opcodes fdel fget float8_e4m3fn
    float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz fork format format_map from_buffer from_file
    from_ipc_handle from_pretrained fset generate_square_subsequent_mask generate_vmap_rule
    get_expected_cell_size get_expected_hidden_size get_extra_state get_graph_data
    get_growth_interval get_offset getfield getstate gi_code gi_frame gi_running gi_suspended
    gi_yieldfrom grad_dtype graphsafe_get_state graphsafe_set_state has_uninitialized_params
    hasobject hpu int_repr ipc_handle ipu is_distributed is_ipu is_maia is_mkldnn is_mtia
    is_same_size is_set_to is_shared is_sparse_csr is_vulkan is_xla is_xpu isalignedstruct
    isbuiltin isnative jumped lock mark_shared_storage materialize_grads
    maybe_clear_saved_tensors merge_masks module_load mps mro mtia multiprocessing_context
    multivariate_hypergeometric n_fields n_sequence_fields n_unnamed_fields native_handle
    negative_binomial newbyteorder next_functions non_differentiable noncentral_chisquare
    noncentral_f output_nr parallel_apply permute_hidden pickle_storage_type popen
    profile_hook_step q_per_channel_axis q_per_channel_scales q_per_channel_zero_points q_scale
    q_zero_point qscheme random_integers random_raw raw_cuda_graph raw_cuda_graph_exec
    recursive_undo register register_backward_hook register_load_state_dict_post_hook
    register_load_state_dict_pre_hook register_prehook register_state_dict_post_hook
    register_state_dict_pre_hook reinforce resizable resize resize_ resize_as resize_as_
    resize_as_sparse_ save_for_forward saved_for_forward saved_variables set_ set_backoff_factor
    set_extra_state set_growth_factor set_offset set_submodule setfield setflags setstate
    share_memory share_memory_ sparse_mask sparse_resize_ sparse_resize_and_clear_ spawn storage
    storage_offset storage_type strerror subdtype symmetric_difference_update system tb_frame
    tb_lasti tb_lineno tb_next throw tm_gmtoff tm_isdst tm_zone to_device to_mkldnn tofile
    tomaxint unsafe_chunk unsafe_split unsafe_split_with_sizes untyped untyped_storage vjp
    with_traceback xpu
    """
)
