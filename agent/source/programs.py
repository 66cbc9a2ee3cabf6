"""The allow-list for programs that answer instances, in addition to that of training code.

It covers the standard library as far as it computes, parses, and uses standard input and output.
Everything that starts processes, opens files, sockets or libraries, or makes code or names from
strings is left out. Of `sqlite3`, only a database in memory is allowed; its SQL is text that no
lint reads. `tests/agent/test_programs.py` finds reachable attributes that are in no table.
"""

from collections.abc import Mapping
from typing import Final

from agent.source import allowed
from agent.source.allowed import Use
from agent.source.public_names import listed

_STANDARD: Final = {
    "array": "array typecodes",
    "ast": "literal_eval",
    "base64": "a85decode a85encode b16decode b16encode b32decode b32encode b64decode b64encode"
    " b85decode b85encode standard_b64decode standard_b64encode urlsafe_b64decode"
    " urlsafe_b64encode",
    "binascii": "Error a2b_base64 a2b_hex b2a_base64 b2a_hex crc32 crc_hqx hexlify unhexlify",
    "bz2": "BZ2Compressor BZ2Decompressor compress decompress",
    "calendar": "day_abbr day_name isleap leapdays month_abbr month_name monthrange timegm weekday",
    "collections": "UserDict UserList UserString",
    "collections.abc": "AsyncIterator Awaitable ByteString Coroutine ItemsView KeysView MappingView"
    " MutableSet Reversible ValuesView",
    "concurrent": "futures",
    "concurrent.futures": "ALL_COMPLETED FIRST_COMPLETED FIRST_EXCEPTION Future ThreadPoolExecutor"
    " as_completed wait",
    "contextlib": "closing",
    "csv": "DictReader DictWriter Error QUOTE_ALL QUOTE_MINIMAL QUOTE_NONE QUOTE_NONNUMERIC"
    " field_size_limit reader writer",
    "datetime": "MAXYEAR MINYEAR UTC date datetime time timedelta timezone tzinfo",
    "decimal": "Context Decimal DecimalException DivisionByZero Inexact InvalidOperation MAX_EMAX"
    " MAX_PREC MIN_EMIN Overflow ROUND_05UP ROUND_CEILING ROUND_DOWN ROUND_FLOOR ROUND_HALF_DOWN"
    " ROUND_HALF_EVEN ROUND_HALF_UP ROUND_UP Rounded Underflow getcontext localcontext setcontext",
    "difflib": "SequenceMatcher context_diff get_close_matches ndiff unified_diff",
    "fnmatch": "filter fnmatch fnmatchcase translate",
    "fractions": "Fraction",
    "graphlib": "CycleError TopologicalSorter",
    "gzip": "compress decompress",
    "hashlib": "blake2b blake2s md5 sha1 sha224 sha256 sha384 sha3_256 sha3_512 sha512",
    "hmac": "compare_digest digest",
    "html": "escape unescape",
    "io": "BytesIO SEEK_CUR SEEK_END SEEK_SET StringIO TextIOWrapper",
    "ipaddress": "AddressValueError IPv4Address IPv4Network IPv6Address IPv6Network ip_address"
    " ip_interface ip_network",
    "json": "JSONDecodeError JSONDecoder JSONEncoder dump load",
    "lzma": "compress decompress",
    "operator": "abs add and_ concat contains countOf delitem eq floordiv ge getitem gt iadd iand"
    " indexOf inv invert ior is_ is_not isub itemgetter ixor le lshift lt matmul mod mul ne neg"
    " not_ or_ pos pow rshift setitem sub truediv truth xor",
    "os": "cpu_count linesep",
    "pprint": "pformat pp pprint",
    "queue": "Empty Full LifoQueue PriorityQueue Queue SimpleQueue",
    "random": "binomialvariate lognormvariate paretovariate vonmisesvariate weibullvariate",
    "re": "A ASCII DOTALL I IGNORECASE M MULTILINE Match NOFLAG Pattern RegexFlag S U UNICODE"
    " VERBOSE X compile error escape findall finditer fullmatch match purge search split sub subn",
    "shlex": "join quote split",
    "sqlite3": "DatabaseError Error IntegrityError OperationalError PARSE_COLNAMES PARSE_DECLTYPES"
    " ProgrammingError Row connect sqlite_version sqlite_version_info",
    "statistics": "NormalDist correlation covariance median_high median_low multimode",
    "string": "Template ascii_letters ascii_lowercase ascii_uppercase capwords digits hexdigits"
    " octdigits printable punctuation whitespace",
    "struct": "Struct calcsize error iter_unpack pack pack_into unpack unpack_from",
    "sys": "argv float_repr_style getrecursionlimit getsizeof hash_info int_info intern"
    " maxunicode set_int_max_str_digits setrecursionlimit stderr stdin stdout",
    "textwrap": "dedent fill indent shorten wrap",
    "threading": "BoundedSemaphore Condition Event Lock RLock Semaphore Thread",
    "tomllib": "TOMLDecodeError loads",
    "traceback": "format_exc print_exc",
    "types": "MappingProxyType NoneType SimpleNamespace",
    "typing": "AnyStr BinaryIO Container Counter DefaultDict Deque IO Never NoReturn OrderedDict"
    " Required Sized SupportsFloat SupportsInt TextIO TypeGuard TypedDict",
    "unicodedata": "bidirectional category combining decimal decomposition digit east_asian_width"
    " is_normalized lookup mirrored name normalize numeric",
    "urllib": "parse",
    "urllib.parse": "parse_qs parse_qsl quote quote_plus unquote unquote_plus unquote_to_bytes"
    " urlencode urljoin urlsplit urlunsplit",
    "uuid": "NAMESPACE_DNS NAMESPACE_URL UUID uuid3 uuid5",
    "weakref": "WeakKeyDictionary WeakSet WeakValueDictionary ref",
    "zlib": "MAX_WBITS adler32 compress compressobj crc32 decompress decompressobj error",
}
MODULES: Final[Mapping[str, frozenset[str]]] = {
    path: allowed.MODULES.get(path, frozenset()) | listed(_STANDARD.get(path, ""))
    for path in {*allowed.MODULES, *_STANDARD} - {*allowed.HARNESS}
}
# The modules that people and models are told to import.
IMPORTS: Final = allowed.IMPORTS - {*allowed.HARNESS} | (
    frozenset(path for path in _STANDARD if "." not in path) - listed("concurrent os urllib")
)
USES: Final[Mapping[str, Use]] = {
    **allowed.USES,
    "sqlite3.connect": Use(
        positional=1,
        keywords=listed("cached_statements check_same_thread detect_types isolation_level timeout"),
        words={"database": listed(":memory:")},
    ),
}
BUILTINS: Final = allowed.BUILTINS | listed("input memoryview")
# Environment variables that arnode sets for a program, and that it may read.
READ: Final = listed("ARNODE_SEED OPENAI_API_BASE OPENAI_API_KEY OPENAI_BASE_URL")

KNOWN: Final = listed(
    """
    ASCII DOTALL Emax Emin IGNORECASE MULTILINE UNICODE VERBOSE acquire add_done_callback
    address_exclude adjusted algorithm arraysize astimezone block_size broadcast_address buffer
    bytes_le c_contiguous cancel cancelled canonical capitals cast cdf clear_flags clear_traps
    clock_seq closed colno combine commit compare compressed copy_abs copy_decimal copy_negate
    copy_sign create_aggregate create_collation create_decimal create_decimal_from_float
    create_function ctime cursor cutoff daemon date day days decompress description dialect
    digest digest_size divide_int divmod done dst empty encoding end endpos eof errors exception
    execute executemany executescript exploded f_contiguous fetchall fetchmany fetchone
    fieldnames find_longest_match findall finditer flush fma fold fragment from_decimal
    from_float from_samples frombytes fromisocalendar fromisoformat fromlist fromordinal
    fromtimestamp fromunicode fromutc full fullmatch get_grouped_opcodes get_identifiers
    get_matching_blocks get_nowait get_opcodes get_ready getbuffer geturl getvalue group
    groupdict groupindex hash_bits hexdigest hostmask hostname hosts hour ident in_transaction
    inf inv_cdf is_active is_alive is_canonical is_finite is_global is_infinite is_link_local
    is_loopback is_multicast is_nan is_normal is_private is_qnan is_reserved is_set is_snan
    is_subnormal is_unspecified is_valid is_zero isatty isocalendar isoformat isolation_level
    isoweekday iter_unpack iterdump iterencode keyrefs lastgroup lastindex lastrowid
    limit_denominator line_buffering line_num lineno ln locked logb map match max_mag
    max_prefixlen microsecond microseconds min_mag minus minute modulus month msg nan
    needs_input netloc newlines next_minus next_plus next_toward normalize notify notify_all now
    num_addresses number_class overlap overlaps pack pack_into packed password path pattern pdf
    peek plus port pos prec prefixlen prepare put_nowait qsize quantiles quantize quick_ratio
    radix ratio raw_decode read read1 readable readinto readline readlines reconfigure readonly
    real_quick_ratio regs release remainder_near result reverse_pointer rollback rounding
    row_factory rowcount run running safe_substitute same_quantum samples scaleb scheme search
    second seconds seed_bits seek seekable set set_seq1 set_seq2 set_seqs shift shutdown span
    static_order stdev strftime string strptime submit subn subnet_of subnets substitute
    supernet supernet_of task_done tell text_factory time timestamp timetuple timetz
    to_eng_string to_integral to_integral_exact to_integral_value today toordinal toreadonly
    total_changes total_seconds tounicode traps truncate typecode tzinfo tzname unconsumed_tail
    unpack unpack_from unused_data urn username utc utcoffset valuerefs variance version
    wait_for weekday width with_hostmask with_netmask with_prefixlen writable write writeheader
    writelines writerow writerows year zscore
    """
)
TAKEN: Final = listed(
    """
    backup blobopen buffer_info connection deserialize enable_load_extension fileno fromfile
    load_extension obj opener raw scanner serialize
    """
)
# `detach` of a stream leads to files, `detach` of a tensor does not. In a source that mentions
# streams the two cannot be distinguished.
STREAMS: Final = listed("stderr stdin stdout")
TAKEN_WITH_STREAMS: Final = listed("detach")
