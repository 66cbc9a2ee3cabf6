/* libnvidia-ml.so.1 of a machine that is told in a file, whose path is $NVML_MOCK.

   Each line is a function, what it is asked of ("-": the machine, "0": a card, "0.1": a slice of
   it) and the answer; "!15" answers with an error, "~" never comes back, "*" stands for every
   function or card. The last line that fits holds: what is appended is true from the next call on.
   What no line tells of is not supported. Names, types and structs are those of NVIDIA's nvml.h; what is not here is what
   arnode does not call. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CARDS = 8, SLICES = 7, LINE = 1024, SAMPLES = 100, ABSENT = -1 };
typedef enum {
  NVML_SUCCESS = 0,
  NVML_ERROR_UNINITIALIZED = 1,
  NVML_ERROR_INVALID_ARGUMENT = 2,
  NVML_ERROR_NOT_SUPPORTED = 3,
  NVML_ERROR_NOT_FOUND = 6,
  NVML_ERROR_INSUFFICIENT_SIZE = 7,
  NVML_ERROR_DRIVER_NOT_LOADED = 9,
  NVML_ERROR_ARGUMENT_VERSION_MISMATCH = 25,
} nvmlReturn_t;
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
typedef struct { unsigned gpu, memory; } nvmlUtilization_t;
typedef struct {
  unsigned pid;
  unsigned long long usedGpuMemory;
  unsigned gpuInstanceId, computeInstanceId;
} nvmlProcessInfo_t;
typedef struct {
  unsigned pid;
  unsigned long long timeStamp;
  unsigned smUtil, memUtil, encUtil, decUtil;
} nvmlProcessUtilizationSample_t;
typedef struct {
  unsigned multiprocessorCount, sharedCopyEngineCount, sharedDecoderCount, sharedEncoderCount;
  unsigned sharedJpegCount, sharedOfaCount, gpuInstanceSliceCount, computeInstanceSliceCount;
  unsigned long long memorySizeMB;
} nvmlDeviceAttributes_t;
typedef unsigned nvmlClockType_t;
typedef struct nvmlDevice_st { char place[8]; } *nvmlDevice_t;

static const char *const clocks[] = {"graphics", "sm", "memory", "video"};
static struct nvmlDevice_st machine = {"-"};
static struct nvmlDevice_st devices[CARDS][1 + SLICES]; /* of each card: itself, its slices */
static atomic_int users;

static int find(const char *function, const char *place, char *answer) {
  const char *path = getenv("NVML_MOCK");
  FILE *told = path ? fopen(path, "r") : NULL;
  if (!told) return NVML_ERROR_DRIVER_NOT_LOADED;
  char line[LINE], name[80], at[8];
  int found = ABSENT;
  while (fgets(line, sizeof line, told)) {
    int start = 0;
    line[strcspn(line, "\n")] = 0;
    if (sscanf(line, "%79s %7s %n", name, at, &start) != 2) continue;
    if (strcmp(name, function) && strcmp(name, "*")) continue;
    if (strcmp(at, place) && strcmp(at, "*")) continue;
    strcpy(answer, line + start);
    found = *answer == '!' ? atoi(answer + 1) : NVML_SUCCESS;
  }
  fclose(told);
  if (found == NVML_SUCCESS && *answer == '~') pause();
  return found;
}

static nvmlReturn_t ask(const char *function, nvmlDevice_t device, char *answer) {
  if (!users) return NVML_ERROR_UNINITIALIZED;
  int is_ours = device >= devices[0] && device < devices[CARDS];
  if (device != &machine && !is_ours) return NVML_ERROR_INVALID_ARGUMENT;
  int code = find(function, device->place, answer);
  return code == ABSENT ? NVML_ERROR_NOT_SUPPORTED : (nvmlReturn_t)code;
}

#define ASK(function, device)                                   \
  char answer[LINE];                                            \
  nvmlReturn_t code = ask(function, device, answer);            \
  if (code != NVML_SUCCESS) return code

static nvmlReturn_t text(const char *function, nvmlDevice_t device, char *found, unsigned room) {
  ASK(function, device);
  if (strlen(answer) >= room) return NVML_ERROR_INSUFFICIENT_SIZE;
  strcpy(found, answer);
  return NVML_SUCCESS;
}

static nvmlReturn_t numbers(
    const char *function, nvmlDevice_t device, unsigned *first, unsigned *second) {
  ASK(function, device);
  sscanf(answer, "%u %u", first, second);
  return NVML_SUCCESS;
}

#define NUMBER(function)                                              \
  nvmlReturn_t function(nvmlDevice_t device, unsigned *number) {      \
    return numbers(#function, device, number, NULL);                  \
  }
#define PAIR(function)                                                                \
  nvmlReturn_t function(nvmlDevice_t device, unsigned *first, unsigned *second) {     \
    return numbers(#function, device, first, second);                                 \
  }

static nvmlReturn_t clock_of(
    const char *function, nvmlDevice_t device, nvmlClockType_t kind, unsigned *mhz) {
  char name[80];
  if (kind >= 4) return NVML_ERROR_INVALID_ARGUMENT;
  snprintf(name, sizeof name, "%s.%s", function, clocks[kind]);
  return numbers(name, device, mhz, mhz);
}

static void limit_power(const char *place, unsigned milliwatts) {
  FILE *told = fopen(getenv("NVML_MOCK"), "a");
  if (!told) return;
  fprintf(told, "nvmlDeviceGetPowerManagementLimit %s %u\n", place, milliwatts);
  fclose(told);
}

/* With `persistence - off` a driver that nobody has open any more forgets the limits of power. */
static void unload(void) {
  char answer[LINE], place[12];
  if (find("persistence", "-", answer) != NVML_SUCCESS || strcmp(answer, "off")) return;
  for (int card = 0; card < CARDS; card++) {
    snprintf(place, sizeof place, "%d", card);
    if (find("nvmlDeviceGetPowerManagementDefaultLimit", place, answer) == NVML_SUCCESS)
      limit_power(place, strtoul(answer, NULL, 10));
  }
}

/* The machine. */

nvmlReturn_t nvmlInitWithFlags(unsigned flags) {
  char answer[LINE];
  int code = find("nvmlInitWithFlags", "-", answer);
  if (code > 0) return code;
  users++;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlShutdown(void) {
  if (!users) return NVML_ERROR_UNINITIALIZED;
  if (!--users) unload();
  return NVML_SUCCESS;
}
const char *nvmlErrorString(nvmlReturn_t code) {
  int is_version = code == NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  return is_version ? "Argument version mismatch" : "Unknown Error";
}
nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned room) {
  return text("nvmlSystemGetDriverVersion", &machine, version, room);
}
nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version) {
  return numbers("nvmlSystemGetCudaDriverVersion_v2", &machine, (unsigned *)version, NULL);
}
nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count) {
  return numbers("nvmlDeviceGetCount_v2", &machine, count, NULL);
}

/* Handles. */

static nvmlReturn_t handle_at(
    const char *function, const char *place, nvmlDevice_t *device, nvmlReturn_t absent) {
  char answer[LINE];
  unsigned card, slice;
  if (!users) return NVML_ERROR_UNINITIALIZED;
  int code = find(function, place, answer);
  if (code) return code == ABSENT ? absent : (nvmlReturn_t)code;
  int parts = sscanf(place, "%u.%u", &card, &slice);
  *device = &devices[card][parts == 2 ? 1 + slice : 0];
  strcpy((*device)->place, place);
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device) {
  char place[12];
  snprintf(place, sizeof place, "%u", index);
  return handle_at(
      "nvmlDeviceGetHandleByIndex_v2", place, device, NVML_ERROR_INVALID_ARGUMENT);
}
nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(
    nvmlDevice_t card, unsigned index, nvmlDevice_t *slice) {
  char place[24];
  snprintf(place, sizeof place, "%.7s.%u", card->place, index);
  return handle_at("nvmlDeviceGetMigDeviceHandleByIndex", place, slice, NVML_ERROR_NOT_FOUND);
}
nvmlReturn_t nvmlDeviceGetDeviceHandleFromMigDeviceHandle(
    nvmlDevice_t slice, nvmlDevice_t *card) {
  ASK("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", slice);
  *card = devices[(slice - devices[0]) / (1 + SLICES)];
  if (*card == slice) return NVML_ERROR_INVALID_ARGUMENT;
  sscanf(slice->place, "%7[0-9]", (*card)->place);
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device) {
  char line[LINE], place[8] = "", found[96] = "";
  FILE *told = fopen(getenv("NVML_MOCK"), "r"); /* not asked by `find`: a lost card has one too */
  if (!told) return NVML_ERROR_DRIVER_NOT_LOADED;
  while (strcmp(found, uuid) && fgets(line, sizeof line, told))
    sscanf(line, "nvmlDeviceGetUUID %7s %95s", place, found);
  fclose(told);
  if (strcmp(found, uuid)) return NVML_ERROR_NOT_FOUND;
  return handle_at("nvmlDeviceGetHandleByUUID", place, device, NVML_ERROR_NOT_FOUND);
}

/* What a card or a slice is. */

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned room) {
  return text("nvmlDeviceGetUUID", device, uuid, room);
}
nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned room) {
  return text("nvmlDeviceGetName", device, name, room);
}
NUMBER(nvmlDeviceGetMinorNumber)
NUMBER(nvmlDeviceGetGpuInstanceId)
NUMBER(nvmlDeviceGetComputeInstanceId)
NUMBER(nvmlDeviceGetNumGpuCores)
NUMBER(nvmlDeviceGetMaxMigDeviceCount)
NUMBER(nvmlDeviceGetDisplayActive)
PAIR(nvmlDeviceGetMigMode)
nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor) {
  const char *const function = "nvmlDeviceGetCudaComputeCapability";
  return numbers(function, device, (unsigned *)major, (unsigned *)minor);
}
nvmlReturn_t nvmlDeviceGetMaxClockInfo(
    nvmlDevice_t device, nvmlClockType_t kind, unsigned *mhz) {
  return clock_of("nvmlDeviceGetMaxClockInfo", device, kind, mhz);
}
nvmlReturn_t nvmlDeviceGetAttributes_v2(nvmlDevice_t slice, nvmlDeviceAttributes_t *found) {
  ASK("nvmlDeviceGetAttributes_v2", slice);
  *found = (nvmlDeviceAttributes_t){.sharedCopyEngineCount = 1};
  sscanf(answer, "%u %llu", &found->gpuInstanceSliceCount, &found->memorySizeMB);
  return NVML_SUCCESS;
}

/* What goes on there. */

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
  ASK("nvmlDeviceGetMemoryInfo", device);
  sscanf(answer, "%llu %llu", &memory->total, &memory->used);
  memory->free = memory->total - memory->used;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *rates) {
  return numbers("nvmlDeviceGetUtilizationRates", device, &rates->gpu, &rates->memory);
}
nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, nvmlClockType_t kind, unsigned *mhz) {
  return clock_of("nvmlDeviceGetClockInfo", device, kind, mhz);
}
static nvmlReturn_t reasons(
    const char *function, nvmlDevice_t device, unsigned long long *bits) {
  ASK(function, device);
  sscanf(answer, "%llu", bits);
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(
    nvmlDevice_t device, unsigned long long *bits) {
  return reasons("nvmlDeviceGetCurrentClocksEventReasons", device, bits);
}
nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(
    nvmlDevice_t device, unsigned long long *bits) {
  return reasons("nvmlDeviceGetCurrentClocksThrottleReasons", device, bits);
}

/* Processes stand in an answer as pid:bytes, or as pid alone where bytes are not told. */
static nvmlReturn_t processes(
    const char *function, nvmlDevice_t device, unsigned *count, nvmlProcessInfo_t *found) {
  ASK(function, device);
  unsigned room = found ? *count : 0;
  char *rest = answer;
  *count = 0;
  for (char *one; (one = strtok_r(rest, " ", &rest)); ++*count) {
    nvmlProcessInfo_t process = {0, -1ULL, -1U, -1U};
    sscanf(one, "%u:%llu", &process.pid, &process.usedGpuMemory);
    if (*count < room) found[*count] = process;
  }
  return *count > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}
#define PROCESSES(function)                                                                   \
  nvmlReturn_t function(nvmlDevice_t device, unsigned *count, nvmlProcessInfo_t *found) {     \
    return processes(#function, device, count, found);                                        \
  }
PROCESSES(nvmlDeviceGetComputeRunningProcesses_v2)
PROCESSES(nvmlDeviceGetComputeRunningProcesses_v3)
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v2)
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v3)

/* Samples stand in an answer as pid:percent:microseconds, without the last one if they are of now. */
nvmlReturn_t nvmlDeviceGetProcessUtilization(
    nvmlDevice_t device, nvmlProcessUtilizationSample_t *found, unsigned *count,
    unsigned long long since) {
  ASK("nvmlDeviceGetProcessUtilization", device);
  unsigned room = *count;
  char *rest = answer;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  *count = found ? 0 : SAMPLES; /* how many there may be, whoever is there */
  if (!found) return NVML_ERROR_INSUFFICIENT_SIZE;
  for (char *one; (one = strtok_r(rest, " ", &rest));) {
    nvmlProcessUtilizationSample_t sample = {0};
    sample.timeStamp = now.tv_sec * 1000000ULL + now.tv_nsec / 1000;
    sscanf(one, "%u:%u:%llu", &sample.pid, &sample.smUtil, &sample.timeStamp);
    if (sample.timeStamp > since && *count < room) found[(*count)++] = sample;
  }
  return *count ? NVML_SUCCESS : NVML_ERROR_NOT_FOUND;
}

/* Power: what is set is written down, as a card keeps it beyond the end of who set it. */

NUMBER(nvmlDeviceGetPowerManagementLimit)
NUMBER(nvmlDeviceGetPowerManagementDefaultLimit)
PAIR(nvmlDeviceGetPowerManagementLimitConstraints)
nvmlReturn_t nvmlDeviceSetPowerManagementLimit(nvmlDevice_t device, unsigned milliwatts) {
  unsigned low, high;
  ASK("nvmlDeviceSetPowerManagementLimit", device);
  code = nvmlDeviceGetPowerManagementLimitConstraints(device, &low, &high);
  if (code != NVML_SUCCESS) return code;
  if (milliwatts < low || milliwatts > high) return NVML_ERROR_INVALID_ARGUMENT;
  limit_power(device->place, milliwatts);
  return NVML_SUCCESS;
}
