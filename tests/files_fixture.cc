#include "tests/files_fixture.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

std::string NewFolder() {
  std::string folder = "/tmp/baton_XXXXXX";
  EXPECT_NE(mkdtemp(folder.data()), nullptr);
  std::filesystem::create_directory(folder + "/root");
  return folder;
}

}  // namespace

std::string BytesOfFile(size_t size) {
  std::string bytes(size, '\0');
  uint64_t state = 88172645463325252ULL;
  for (size_t at = 0; at + sizeof(state) <= size; at += sizeof(state)) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    memcpy(bytes.data() + at, &state, sizeof(state));
  }
  return bytes;
}

void WriteInPlace(const std::string& path, absl::string_view content) {
  std::filesystem::create_directories(
      std::filesystem::path(path).parent_path());
  std::ofstream file(path, std::ios::binary);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  EXPECT_TRUE(file.good()) << path;
}

void ReplaceFile(const std::string& path, absl::string_view content) {
  const std::string other = path + ".new";
  WriteInPlace(other, content);
  std::filesystem::rename(other, path);
}

FilesFixture::FilesFixture(std::string binary)
    : HandoverTest(std::move(binary)), folder_(NewFolder()) {}

FilesFixture::~FilesFixture() { std::filesystem::remove_all(folder_); }

std::string FilesFixture::At(absl::string_view name) const {
  return absl::StrCat(folder_, "/root/", name);
}

std::string FilesFixture::Listen(absl::string_view options) const {
  return absl::StrCat("--listen=http://127.0.0.1:0?root=", folder_, "/root",
                      options.empty() ? "" : "&", options);
}

void FilesFixture::Serve(absl::string_view options, absl::string_view flags) {
  Start(absl::StrCat(Listen(options), "\n--workers=1\n", flags));
}

HttpAnswer FilesFixture::Get(absl::string_view path, absl::string_view fields,
                             absl::string_view method) {
  TestClient client(server().address());
  EXPECT_TRUE(client.Send(HttpRequestTo(path, fields, method)));
  return ReceiveAnswer(client, method);
}

}  // namespace baton
