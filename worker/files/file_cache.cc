#include "worker/files/file_cache.h"

#include <errno.h>
#include <sys/resource.h>

#include <algorithm>
#include <utility>

namespace baton {
namespace {

constexpr std::array<ContentCoding, 2> kNeighbours = {ContentCoding::kBrotli,
                                                      ContentCoding::kGzip};

// So many bytes beside its content and fields: the entry, the list's node, the
// hash tables' places, the kernel's watch not counted.
constexpr size_t kEntryOverhead = 512;

size_t MaxDescriptors() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return FileCache::kMaxDescriptors;
  return std::min<rlim_t>(FileCache::kMaxDescriptors, limit.rlim_cur / 32);
}

}  // namespace

const std::shared_ptr<const ServedFile>& FileEntry::ChooseAmongAll(
    std::optional<absl::string_view> accept_encoding) const {
  const ContentCoding chosen = ChooseCoding(
      accept_encoding, {.gzip = Form(ContentCoding::kGzip) != nullptr,
                        .brotli = Form(ContentCoding::kBrotli) != nullptr});
  return Form(chosen);
}

void FileEntry::OnChange() { cache_.Forget(*this); }

FileCache::FileCache(EventLoop& loop, FileTree& tree, FileWatch* watch,
                     absl::string_view more_fields)
    : loop_(loop),
      tree_(tree),
      more_fields_(more_fields),
      watch_(watch),
      max_descriptors_(MaxDescriptors()),
      root_looked_nanos_(loop.now_nanos()) {}

int FileCache::Load(absl::string_view url_path, const std::string& path,
                    const FileEntry** entry, std::vector<std::string> before) {
  const auto it = entries_.emplace(entries_.end(), *this);
  it->url_path_ = std::string(url_path);
  it->path_ = path;
  it->before_ = std::move(before);
  if (const int error = Open(*it); error != 0) {
    Drop(it);
    return error;
  }
  // Only now, so that what both watch stays watched.
  if (const auto old = by_url_path_.find(it->url_path_);
      old != by_url_path_.end()) {
    Forget(*old->second);
  }
  by_url_path_.emplace(it->url_path_, it);
  Account(*it, /*add=*/true);
  it->used_ = true;
  MakeRoom();
  *entry = &*it;
  return 0;
}

int FileCache::Open(FileEntry& entry) {
  entry.looked_nanos_ = loop_.now_nanos();
  // First, so that what is not there costs one look.
  FileFacts named;
  if (const int error = tree_.Look(entry.path_, &named); error != 0) {
    return error;
  }
  if (named.kind != FileKind::kRegular) return EISDIR;
  const auto on_open = [this, &entry](int fd) {
    // Where that fails, looking must do.
    if (watch_ != nullptr) (void)watch_->Watch(fd, entry);
  };
  for (const ContentCoding coding : kNeighbours) {
    FileFacts facts;
    if (tree_.Look(NeighbourOf(entry.path_, coding), &facts) != 0 ||
        facts.kind != FileKind::kRegular) {
      continue;
    }
    // One that can't be read is as good as none.
    if (OpenServedFile(tree_, entry.path_,
                       {.coding = coding,
                        .has_neighbours = true,
                        .more_fields = more_fields_},
                       on_open,
                       &entry.forms_[static_cast<size_t>(coding)]) == 0) {
      entry.has_neighbours_ = true;
    } else {
      entry.unserved_[static_cast<size_t>(coding)] = facts.stamp;
    }
  }
  return OpenServedFile(
      tree_, entry.path_,
      {.has_neighbours = entry.has_neighbours_, .more_fields = more_fields_},
      on_open, entry.forms_.data());
}

const FileEntry* FileCache::LookAgain(FileEntry& entry) {
  if (loop_.now_nanos() - root_looked_nanos_ >= kLookNanos) FollowRoot();
  // That may have forgotten all there was.
  if (entries_.empty()) return nullptr;
  if (IsAsItWas(entry)) {
    entry.looked_nanos_ = loop_.now_nanos();
    return &entry;
  }
  Forget(entry);
  return nullptr;
}

bool FileCache::IsAsItWas(const FileEntry& entry) const {
  FileFacts facts;
  if (tree_.Look(entry.path_, &facts) != 0 ||
      facts.stamp != entry.forms_[0]->stamp) {
    return false;
  }
  for (const std::string& path : entry.before_) {
    if (tree_.Look(path, &facts) == 0 && facts.kind == FileKind::kRegular) {
      return false;
    }
  }
  return std::all_of(
      kNeighbours.begin(), kNeighbours.end(),
      [this, &entry](ContentCoding coding) {
        FileFacts now;
        const bool is_there =
            tree_.Look(NeighbourOf(entry.path_, coding), &now) == 0 &&
            now.kind == FileKind::kRegular;
        const auto& form = entry.Form(coding);
        const FileStamp& then =
            form != nullptr ? form->stamp
                            : entry.unserved_[static_cast<size_t>(coding)];
        return (is_there ? now.stamp : FileStamp()) == then;
      });
}

void FileCache::FollowRoot() {
  root_looked_nanos_ = loop_.now_nanos();
  if (!tree_.RootHasMoved()) return;
  tree_.Follow();
  ForgetAll();
}

void FileCache::Account(const FileEntry& entry, bool add) {
  size_t memory = kEntryOverhead + entry.url_path_.size() + entry.path_.size();
  size_t descriptors = 0;
  for (const std::string& path : entry.before_) memory += path.size();
  for (const auto& form : entry.forms_) {
    if (form == nullptr) continue;
    memory += form->memory();
    if (!form->in_memory()) ++descriptors;
  }
  memory_ = add ? memory_ + memory : memory_ - memory;
  descriptors_ = add ? descriptors_ + descriptors : descriptors_ - descriptors;
}

// Never the newest one, which is last and is about to be used.
void FileCache::MakeRoom() {
  while (entries_.size() > 1 &&
         (entries_.size() > kMaxEntries || memory_ > kMaxMemory ||
          descriptors_ > max_descriptors_)) {
    FileEntry& oldest = entries_.front();
    if (std::exchange(oldest.used_, false)) {
      entries_.splice(std::prev(entries_.end()), entries_, entries_.begin());
      continue;
    }
    Forget(oldest);
  }
}

void FileCache::Forget(FileEntry& entry) {
  Account(entry, /*add=*/false);
  const auto found = by_url_path_.find(entry.url_path_);
  const Entries::iterator at = found->second;
  by_url_path_.erase(found);
  Drop(at);
}

void FileCache::Drop(Entries::iterator entry) {
  if (watch_ != nullptr) watch_->Forget(*entry);
  entries_.erase(entry);
}

void FileCache::CloseSpare() {
  for (auto it = entries_.begin(); it != entries_.end();) {
    FileEntry& entry = *it++;
    if (std::any_of(entry.forms_.begin(), entry.forms_.end(),
                    [](const auto& form) {
                      return form != nullptr && !form->in_memory();
                    })) {
      Forget(entry);
    }
  }
}

void FileCache::ForgetAll() {
  while (!entries_.empty()) Forget(entries_.front());
}

}  // namespace baton
