// NVTX ranges, recorded with the launches that they enclose.

#include <nvtx3/nvToolsExt.h>

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "tests/simt/ranges.hpp"
#include "tests/simt/simt.hpp"

struct nvtxDomainRegistration_st {
  std::string name;
  std::vector<std::size_t> open;  // indices of recorded ranges
};
struct nvtxStringRegistration_st {
  std::string text;
};

namespace simt {
namespace {

struct Records {
  std::mutex mutex;
  std::vector<Range> ranges;
  std::uint64_t now = 0;
  std::vector<nvtxDomainHandle_t> domains;
  nvtxDomainRegistration_st no_domain;
};

Records& records() {
  static auto& all = *new Records;
  return all;
}

int push(nvtxDomainHandle_t domain, const std::string& name) {
  Records& all = records();
  const std::lock_guard lock(all.mutex);
  if (!domain) domain = &all.no_domain;
  const int depth = static_cast<int>(domain->open.size());
  domain->open.push_back(all.ranges.size());
  all.ranges.push_back({domain->name, name, depth, ++all.now, 0, 0});
  return depth;
}

int pop(nvtxDomainHandle_t domain) {
  Records& all = records();
  const std::lock_guard lock(all.mutex);
  if (!domain) domain = &all.no_domain;
  if (domain->open.empty()) return -1;
  all.ranges[domain->open.back()].end = ++all.now;
  domain->open.pop_back();
  return static_cast<int>(domain->open.size());
}

}  // namespace

void count_launch() {
  Records& all = records();
  const std::lock_guard lock(all.mutex);
  ++all.now;
  for (const std::size_t index : all.no_domain.open) ++all.ranges[index].launches;
  for (const nvtxDomainHandle_t domain : all.domains)
    for (const std::size_t index : domain->open) ++all.ranges[index].launches;
}

std::vector<Range> ranges() {
  const std::lock_guard lock(records().mutex);
  return records().ranges;
}

/// Forgets those that have ended; none may be open.
void clear_ranges() {
  Records& all = records();
  const std::lock_guard lock(all.mutex);
  all.no_domain.open.clear();
  for (const nvtxDomainHandle_t domain : all.domains) domain->open.clear();
  all.ranges.clear();
  all.now = 0;
}

}  // namespace simt

using simt::records;

nvtxDomainHandle_t nvtxDomainCreateA(const char* name) {
  const std::lock_guard lock(records().mutex);
  records().domains.push_back(new nvtxDomainRegistration_st{name, {}});
  return records().domains.back();
}

void nvtxDomainDestroy(nvtxDomainHandle_t domain) {
  const std::lock_guard lock(records().mutex);
  if (std::erase(records().domains, domain) > 0) delete domain;
}

nvtxStringHandle_t nvtxDomainRegisterStringA(nvtxDomainHandle_t, const char* text) {
  // As with NVTX itself they live until the program ends.
  static auto& all = *new std::map<std::string, nvtxStringRegistration_st>;
  const std::lock_guard lock(records().mutex);
  nvtxStringRegistration_st& entry = all[text];
  entry.text = text;
  return &entry;
}

int nvtxDomainRangePushEx(nvtxDomainHandle_t domain, const nvtxEventAttributes_t* attributes) {
  if (!attributes || attributes->version != NVTX_VERSION || attributes->size != NVTX_EVENT_ATTRIB_STRUCT_SIZE)
    return -1;
  if (attributes->messageType == NVTX_MESSAGE_TYPE_REGISTERED)
    return simt::push(domain, attributes->message.registered->text);
  if (attributes->messageType == NVTX_MESSAGE_TYPE_ASCII)
    return simt::push(domain, attributes->message.ascii);
  return simt::push(domain, "");
}

int nvtxDomainRangePop(nvtxDomainHandle_t domain) {
  return simt::pop(domain);
}
void nvtxDomainMarkEx(nvtxDomainHandle_t, const nvtxEventAttributes_t*) {}
int nvtxRangePushA(const char* name) {
  return simt::push(nullptr, name);
}
int nvtxRangePop() {
  return simt::pop(nullptr);
}
