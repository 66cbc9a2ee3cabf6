/* CUDA's runtime as far as torch asks it what there is: one card, which nothing is done with.

   Preloaded, it stands before libcudart. What is not here is libcudart's own, which refuses for want
   of a driver: allocations, copies and launches fail. FAKE_GPU_SM is 90 for compute capability 9.0,
   FAKE_GPU_MIB the memory. Sources: driver_types.h and cuda_runtime_api.h of CUDA 13. */
#include <cuda_runtime_api.h>
#include <stdlib.h>
#include <string.h>

static long number(const char *name) {
  const char *text = getenv(name);
  return text ? atol(text) : 0;
}
static size_t memory(void) { return (size_t)number("FAKE_GPU_MIB") << 20; }

cudaError_t cudaGetDeviceCount(int *count) { *count = 1; return cudaSuccess; }
cudaError_t cudaGetDevice(int *device) { *device = 0; return cudaSuccess; }
cudaError_t cudaSetDevice(int device) { return cudaSuccess; }
cudaError_t cudaDriverGetVersion(int *version) { *version = CUDART_VERSION; return cudaSuccess; }
cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer) { *can = 0; return cudaSuccess; }

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device) {
  *value = attribute == cudaDevAttrComputeCapabilityMajor   ? number("FAKE_GPU_SM") / 10
           : attribute == cudaDevAttrComputeCapabilityMinor ? number("FAKE_GPU_SM") % 10
                                                            : 1;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *card, int device) {
  memset(card, 0, sizeof *card);
  strcpy(card->name, "a card that is not there");
  card->totalGlobalMem = memory();
  card->major = number("FAKE_GPU_SM") / 10;
  card->minor = number("FAKE_GPU_SM") % 10;
  card->warpSize = 32;
  card->multiProcessorCount = number("FAKE_GPU_PROCESSORS");
  card->maxThreadsPerBlock = card->maxThreadsDim[0] = card->maxThreadsDim[1] = 1024;
  card->maxThreadsDim[2] = 64;
  card->maxGridSize[0] = 2147483647;
  card->maxGridSize[1] = card->maxGridSize[2] = 65535;
  card->maxThreadsPerMultiProcessor = number("FAKE_GPU_THREADS");
  card->regsPerMultiprocessor = card->regsPerBlock = 65536;
  card->sharedMemPerBlock = 48 << 10;
  card->sharedMemPerBlockOptin = number("FAKE_GPU_SHARED");
  card->sharedMemPerMultiprocessor = card->sharedMemPerBlockOptin + 1024;
  card->concurrentKernels = card->unifiedAddressing = 1;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *unused, size_t *total) {
  *unused = *total = memory();
  return cudaSuccess;
}

/* Nothing is under way, and nothing has failed. */
cudaError_t cudaGetLastError(void) { return cudaSuccess; }
cudaError_t cudaPeekAtLastError(void) { return cudaSuccess; }
cudaError_t cudaDeviceSynchronize(void) { return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return cudaSuccess; }
cudaError_t cudaStreamQuery(cudaStream_t stream) { return cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status) {
  *status = cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *mode) {
  return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
  *event = (cudaEvent_t)1;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) { return cudaSuccess; }
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) { return cudaSuccess; }
cudaError_t cudaEventQuery(cudaEvent_t event) { return cudaSuccess; }
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end) {
  *ms = 1;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) { return cudaSuccess; }
