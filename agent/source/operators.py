"""Torch's public arithmetic by name, for the allow-list of the capability lint."""

from typing import Final


def listed(text: str) -> frozenset[str]:
    """Return the names in a text, between blanks and line ends."""
    return frozenset(text.split())


# Functions of torch that its tensors have as methods, by the same name.
METHODS: Final = listed(
    """
    abs abs_ absolute acos acos_ acosh acosh_ add addbmm addcdiv addcmul addmm addmv addmv_ addr
    adjoint all allclose amax amin aminmax angle any arccos arccos_ arccosh arccosh_ arcsin
    arcsin_ arcsinh arcsinh_ arctan arctan2 arctan_ arctanh arctanh_ argmax argmin argsort
    argwhere as_strided as_strided_ as_strided_scatter asin asin_ asinh asinh_ atan atan2 atan_
    atanh atanh_ autocast baddbmm bernoulli bfloat16 bincount binomial bitwise_and
    bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor bmm bool
    broadcast_to cdouble ceil ceil_ cfloat cholesky cholesky_inverse cholesky_solve chunk clamp
    clamp_ clamp_max clamp_max_ clamp_min clamp_min_ clip clip_ clone compile conj conj_physical
    conj_physical_ copysign corrcoef cos cos_ cosh cosh_ count_nonzero cov cross cummax cummin
    cumprod cumsum deg2rad deg2rad_ det detach detach_ device diag diag_embed diagflat diagonal
    diagonal_scatter diff digamma dist div divide dot double dsplit dtype eq equal erf erf_ erfc
    erfc_ erfinv exp exp2 exp2_ exp_ expm1 expm1_ fill fill_ fix fix_ flatten flip fliplr flipud
    float float_power floor floor_ floor_divide fmax fmin fmod frac frac_ frexp gather gcd gcd_
    ge geqrf ger get_device greater greater_equal gt half hardshrink hash_tensor heaviside histc
    histogram hsplit hypot i0 i0_ igamma igammac imag index_add index_copy index_fill index_put
    index_put_ index_reduce index_select initial_seed inner int inverse is_complex is_conj
    is_floating_point is_inference is_neg is_nonzero is_signed isclose isfinite isinf isnan
    isneginf isposinf isreal istft kron kthvalue layout lcm lcm_ ldexp ldexp_ le lerp less
    less_equal lgamma log log10 log10_ log1p log1p_ log2 log2_ log_ log_softmax logaddexp
    logaddexp2 logcumsumexp logdet logical_and logical_not logical_or logical_xor logit logit_
    logsumexp long lt lu lu_solve manual_seed masked_fill masked_scatter masked_select matmul
    matrix_exp matrix_power max maximum mean median min minimum mm mode moveaxis movedim msort
    mul multinomial multiply mv mvlgamma nan_to_num nan_to_num_ nanmean nanmedian nanquantile
    nansum narrow narrow_copy ne neg neg_ negative negative_ nextafter nonzero nonzero_static
    norm normal not_equal numel orgqr ormqr outer permute pinverse poisson polygamma positive
    pow prelu prod put qr quantile rad2deg rad2deg_ rand randint randn ravel real reciprocal
    reciprocal_ relu relu_ remainder renorm repeat_interleave reshape resolve_conj resolve_neg
    roll rot90 round round_ rsqrt rsqrt_ scatter scatter_add scatter_reduce searchsorted seed
    select select_scatter sgn short sigmoid sigmoid_ sign signbit sin sin_ sinc sinc_ sinh sinh_
    slice_inverse slice_scatter slogdet smm softmax sort split split_with_sizes sqrt sqrt_
    square square_ squeeze sspaddmm std stft sub subtract sum svd swapaxes swapdims t take
    take_along_dim tan tan_ tanh tanh_ tensor_split tile topk trace transpose triangular_solve
    tril triu true_divide trunc trunc_ unbind unflatten unique unique_consecutive unsqueeze var
    vdot vmap vsplit where xlogy xlogy_ zero_
    """
)
# Over lists of tensors: each also as what changes them, with an underscore behind it.
_FOREACH: Final = listed(
    """
    abs acos add addcdiv addcmul asin atan ceil clamp_max clamp_min cos cosh div erf erfc exp
    expm1 floor frac lerp lgamma log log10 log1p log2 maximum minimum mul neg pow reciprocal
    round rsqrt sigmoid sign sin sinh sqrt sub tan tanh trunc
    """
)
OPERATORS: Final = (
    METHODS
    | {f"_foreach_{name}{end}" for name in _FOREACH for end in ("", "_")}
    | {f"_foreach_{name}" for name in listed("clone copy_ max mm norm powsum zero_")}
    | listed(
        """
    BFloat16Tensor BoolTensor Event FloatTensor Generator HalfTensor IntTensor LongTensor
    OutOfMemoryError Size Stream Tensor __version__ _grouped_mm _scaled_mm adaptive_avg_pool1d
    adaptive_max_pool1d affine_grid_generator alias_copy alpha_dropout alpha_dropout_ arange
    are_deterministic_algorithms_enabled as_strided_copy as_tensor asarray atleast_1d atleast_2d
    atleast_3d avg_pool1d bartlett_window batch_norm bilinear binary_cross_entropy_with_logits
    blackman_window block_diag broadcast_shapes broadcast_tensors bucketize can_cast
    cartesian_prod cat ccol_indices_copy cdist celu celu_ chain_matmul channel_shuffle
    channels_last col_indices_copy column_stack combinations complex complex128 complex64 concat
    concatenate constant_pad_nd contiguous_format conv1d conv2d conv3d conv_tbc conv_transpose1d
    conv_transpose2d conv_transpose3d convolution cosine_embedding_loss cosine_similarity
    crow_indices_copy ctc_loss cumulative_trapezoid default_generator detach_copy diagonal_copy
    dropout dropout_ dstack e einsum embedding embedding_bag embedding_renorm_ empty empty_like
    empty_permuted empty_quantized empty_strided enable_grad expand_copy eye
    fake_quantize_per_channel_affine fake_quantize_per_tensor_affine feature_alpha_dropout
    feature_alpha_dropout_ feature_dropout feature_dropout_ finfo float16 float32 float64
    float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu frobenius_norm
    from_numpy frombuffer full full_like get_default_device get_default_dtype
    get_float32_matmul_precision get_num_threads get_rng_state gradient grid_sampler
    grid_sampler_2d grid_sampler_3d group_norm gru gru_cell hamming_window hann_window
    hinge_embedding_loss histogramdd hspmm hstack iinfo indices_copy inf inference_mode
    instance_norm int16 int32 int64 int8 int_repr is_distributed is_grad_enabled is_same_size
    is_tensor isin kaiser_window kl_div layer_norm linspace lobpcg logspace lstm lstm_cell
    lu_unpack margin_ranking_loss max_pool1d max_pool1d_with_indices max_pool2d max_pool3d
    memory_format meshgrid nan native_batch_norm native_channel_shuffle native_dropout
    native_group_norm native_layer_norm newaxis no_grad norm_except_dim nuclear_norm ones
    ones_like pairwise_distance pca_lowrank pdist permute_copy pi pixel_shuffle pixel_unshuffle
    poisson_nll_loss polar preserve_format promote_types rand_like randint_like randn_like
    randperm range result_type rms_norm row_indices_copy row_stack rrelu rrelu_ rsub
    scalar_tensor segment_reduce select_copy selu selu_ set_default_device set_default_dtype
    set_deterministic_debug_mode set_float32_matmul_precision set_flush_denormal
    set_grad_enabled set_num_threads set_printoptions set_rng_state slice_copy sparse_bsc_tensor
    sparse_bsr_tensor sparse_compressed_tensor sparse_coo sparse_coo_tensor sparse_csc_tensor
    sparse_csr sparse_csr_tensor split_copy split_with_sizes_copy spmm squeeze_copy stack
    std_mean strided svd_lowrank t_copy tensor tensordot threshold threshold_ transpose_copy
    trapezoid trapz tril_indices triplet_margin_loss triu_indices typename uint16 uint32 uint64
    uint8 unbind_copy unfold_copy unravel_index unsafe_chunk unsafe_split
    unsafe_split_with_sizes unsqueeze_copy use_deterministic_algorithms values_copy vander
    var_mean view_as_complex view_as_complex_copy view_as_real view_as_real_copy view_copy
    vstack zeros zeros_like
        """
    )
)
MODULES: Final = listed(
    """
    AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveLogSoftmaxWithLoss
    AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d AlphaDropout AvgPool1d AvgPool2d
    AvgPool3d BCELoss BCEWithLogitsLoss BatchNorm1d BatchNorm2d BatchNorm3d Bilinear CELU
    CTCLoss ChannelShuffle CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d
    ConstantPad3d Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d
    CosineEmbeddingLoss CosineSimilarity CrossEntropyLoss CrossMapLRN2d DataParallel Dropout
    Dropout1d Dropout2d Dropout3d ELU Embedding EmbeddingBag FeatureAlphaDropout Flatten Fold
    FractionalMaxPool2d FractionalMaxPool3d GELU GLU GRU GRUCell GaussianNLLLoss GroupNorm
    Hardshrink Hardsigmoid Hardswish Hardtanh HingeEmbeddingLoss HuberLoss Identity
    InstanceNorm1d InstanceNorm2d InstanceNorm3d KLDivLoss L1Loss LPPool1d LPPool2d LPPool3d
    LSTM LSTMCell LayerNorm LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d LazyConv1d
    LazyConv2d LazyConv3d LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d
    LazyInstanceNorm1d LazyInstanceNorm2d LazyInstanceNorm3d LazyLinear LeakyReLU Linear
    LinearCrossEntropyLoss LinearCrossEntropyOptions LocalResponseNorm LogSigmoid LogSoftmax
    MSELoss MarginRankingLoss MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d
    Mish Module ModuleDict ModuleList MultiLabelMarginLoss MultiLabelSoftMarginLoss
    MultiMarginLoss MultiheadAttention NLLLoss NLLLoss2d PReLU PairwiseDistance Parameter
    ParameterList PixelShuffle PixelUnshuffle PoissonNLLLoss RMSNorm RNN RNNBase RNNCell
    RNNCellBase RReLU ReLU ReLU6 ReflectionPad1d ReflectionPad2d ReflectionPad3d
    ReplicationPad1d ReplicationPad2d ReplicationPad3d SELU Sequential SiLU Sigmoid SmoothL1Loss
    SoftMarginLoss Softmax Softmax2d Softmin Softplus Softshrink Softsign SyncBatchNorm Tanh
    Tanhshrink Threshold Transformer TransformerDecoder TransformerDecoderLayer
    TransformerEncoder TransformerEncoderLayer TripletMarginLoss TripletMarginWithDistanceLoss
    Unflatten Unfold UninitializedBuffer UninitializedParameter Upsample UpsamplingBilinear2d
    UpsamplingNearest2d ZeroPad1d ZeroPad2d ZeroPad3d
    """
)
FUNCTIONS: Final = listed(
    """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
    adaptive_max_pool1d_with_indices adaptive_max_pool2d adaptive_max_pool2d_with_indices
    adaptive_max_pool3d adaptive_max_pool3d_with_indices affine_grid alpha_dropout avg_pool1d
    avg_pool2d avg_pool3d batch_norm bilinear binary_cross_entropy
    binary_cross_entropy_with_logits celu celu_ channel_shuffle conv1d conv2d conv3d conv_tbc
    conv_transpose1d conv_transpose2d conv_transpose3d cosine_embedding_loss cosine_similarity
    cross_entropy ctc_loss dropout dropout1d dropout2d dropout3d elu elu_ embedding
    embedding_bag feature_alpha_dropout fold fractional_max_pool2d
    fractional_max_pool2d_with_indices fractional_max_pool3d fractional_max_pool3d_with_indices
    gaussian_nll_loss gelu glu grid_sample group_norm grouped_mm gumbel_softmax hardshrink
    hardsigmoid hardswish hardtanh hardtanh_ hinge_embedding_loss huber_loss instance_norm
    interpolate kl_div l1_loss layer_norm leaky_relu leaky_relu_ linear linear_cross_entropy
    local_response_norm log_softmax logsigmoid lp_pool1d lp_pool2d lp_pool3d margin_ranking_loss
    max_pool1d max_pool1d_with_indices max_pool2d max_pool2d_with_indices max_pool3d
    max_pool3d_with_indices max_unpool1d max_unpool2d max_unpool3d mish mse_loss
    multi_margin_loss multilabel_margin_loss multilabel_soft_margin_loss native_channel_shuffle
    nll_loss normalize one_hot pad pairwise_distance pdist pixel_shuffle pixel_unshuffle
    poisson_nll_loss prelu relu relu6 relu_ rms_norm rrelu rrelu_ scaled_dot_product_attention
    scaled_grouped_mm scaled_mm selu selu_ sigmoid silu smooth_l1_loss soft_margin_loss softmax
    softmin softplus softshrink softsign tanh tanhshrink threshold threshold_
    triplet_margin_loss triplet_margin_with_distance_loss unfold upsample upsample_bilinear
    upsample_nearest
    """
)
OPTIMIZERS: Final = listed(
    """
    ASGD Adadelta Adafactor Adagrad Adam AdamW Adamax LBFGS Muon NAdam Optimizer RAdam RMSprop
    Rprop SGD SparseAdam
    """
)
SCHEDULES: Final = listed(
    """
    ChainedScheduler ConstantLR CosineAnnealingLR CosineAnnealingWarmRestarts CyclicLR
    ExponentialLR LRScheduler LambdaLR LinearLR MultiStepLR MultiplicativeLR OneCycleLR
    PolynomialLR ReduceLROnPlateau SequentialLR StepLR _LRScheduler
    """
)
INITS: Final = listed(
    """
    calculate_gain constant constant_ dirac dirac_ eye eye_ kaiming_normal kaiming_normal_
    kaiming_uniform kaiming_uniform_ normal normal_ ones_ orthogonal orthogonal_ sparse sparse_
    trunc_normal_ uniform uniform_ xavier_normal xavier_normal_ xavier_uniform xavier_uniform_
    zeros_
    """
)
LINALG: Final = listed(
    """
    LinAlgError cholesky cholesky_ex cond cross det diagonal eig eigh eigvals eigvalsh
    householder_product inv inv_ex ldl_factor ldl_factor_ex ldl_solve lstsq lu lu_factor
    lu_factor_ex lu_solve matmul matrix_exp matrix_norm matrix_power matrix_rank multi_dot norm
    pinv qr slogdet solve solve_ex solve_triangular svd svdvals tensorinv tensorsolve vander
    vecdot vector_norm
    """
)
FFT: Final = listed(
    """
    fft fft2 fftfreq fftn fftshift hfft hfft2 hfftn ifft ifft2 ifftn ifftshift ihfft ihfft2
    ihfftn irfft irfft2 irfftn rfft rfft2 rfftfreq rfftn
    """
)
SPECIAL: Final = listed(
    """
    airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 chebyshev_polynomial_t
    chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w digamma entr erf erfc
    erfcx erfinv exp2 expit expm1 gammainc gammaincc gammaln hermite_polynomial_h
    hermite_polynomial_he i0 i0e i1 i1e laguerre_polynomial_l legendre_polynomial_p log1p
    log_ndtr log_softmax logit logsumexp modified_bessel_i0 modified_bessel_i1
    modified_bessel_k0 modified_bessel_k1 multigammaln ndtr ndtri polygamma psi round
    scaled_modified_bessel_k0 scaled_modified_bessel_k1 shifted_chebyshev_polynomial_t
    shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v shifted_chebyshev_polynomial_w
    sinc softmax spherical_bessel_j0 xlog1py xlogy zeta
    """
)
