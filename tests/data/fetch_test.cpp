// Fetching from a server that is good, slow, broken or dishonest; and from files that are here already.

#include "host/data/fetch.hpp"

#include <gtest/gtest.h>

#include <chrono>

#include "host/data/files.hpp"
#include "layers/error.hpp"
#include "tests/data/http_server.hpp"
#include "tests/data/tiny_archive.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using test::honest;
using test::HttpReply;
using test::HttpRequest;
using test::HttpServer;
using test::only_status;
using test::stop_after;

/// A small archive, where to fetch it to, and impatient options.
class Fetch : public ::testing::Test {
 protected:
  Fetch() {
    options.archive = test::write_archive(directory / "original.tar.gz", test::tiny_members());
    options.archive.file = "tiny.tar.gz";
    options.download.stall_seconds = 1;
    options.download.connect_seconds = 2;
    options.download.attempts = 3;
    options.download.backoff_seconds = 0.01;
    const std::vector<std::uint8_t> bytes = read_file(directory / "original.tar.gz", 1 << 24);
    content.assign(bytes.begin(), bytes.end());
  }

  FetchResult fetch(const HttpServer& server) {
    options.download.url = server.url();
    return fetch_set(target, options);
  }

  void expect_complete() const {
    EXPECT_EQ(read_file(target / "tiny.tar.gz", 1 << 24), read_file(directory / "original.tar.gz", 1 << 24));
    EXPECT_FALSE(fs::exists(part()));
    int salt = 0;
    for (const auto& [name, records] : cifar::cifar10().files) {
      EXPECT_EQ(read_file(target / "cifar-10-batches-bin" / name, 1 << 20),
                test::tiny_batch(test::tiny_records, salt++));
    }
    EXPECT_FALSE(fs::exists(target / "cifar-10-batches-bin" / "readme.html"));
  }

  [[nodiscard]] fs::path part() const { return target / "tiny.tar.gz.part"; }
  [[nodiscard]] std::size_t half() const { return content.size() / 2; }

  /// Leaves `bytes` as an earlier download would have.
  void leave_part(const std::string& bytes) const {
    fs::create_directories(target);
    write_file(part(), bytes_of(bytes));
  }

  test::TemporaryDirectory directory;
  fs::path target = directory / "data";
  FetchOptions options;
  std::string content;
};

TEST_F(Fetch, DownloadsVerifiesAndUnpacks) {
  HttpServer server({honest(content)});
  const FetchResult result = fetch(server);
  EXPECT_EQ(result.folder, target / "cifar-10-batches-bin");
  EXPECT_CONTAINS(result.told, "7 files unpacked");
  expect_complete();
  EXPECT_EQ(server.requests().size(), 1U);
}

TEST_F(Fetch, DoingItAgainDoesNothing) {
  HttpServer server({honest(content)});
  fetch(server);
  EXPECT_CONTAINS(fetch(server).told, "here already");
  fs::remove(target / "tiny.tar.gz");
  EXPECT_CONTAINS(fetch(server).told, "nothing to do");
  EXPECT_EQ(server.requests().size(), 1U);
}

TEST_F(Fetch, ACutConnectionIsResumedWhereItStopped) {
  HttpServer server({stop_after(half(), false, honest(content)), honest(content)});
  fetch(server);
  expect_complete();
  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_EQ(requests[1].range_begin, static_cast<std::int64_t>(half()));
  EXPECT_EQ(requests[1].if_range, "\"v1\"");
}

TEST_F(Fetch, AStalledConnectionIsGivenUpAndResumed) {
  HttpServer server({stop_after(half(), true, honest(content)), honest(content)});
  const auto begin = std::chrono::steady_clock::now();
  fetch(server);
  expect_complete();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
  ASSERT_EQ(server.requests().size(), 2U);
  EXPECT_EQ(server.requests()[1].range_begin, static_cast<std::int64_t>(half()));
}

TEST_F(Fetch, AnEarlierPartIsContinued) {
  leave_part(content.substr(0, half()));
  HttpServer server({honest(content)});
  fetch(server);
  expect_complete();
  EXPECT_EQ(server.requests()[0].range_begin, static_cast<std::int64_t>(half()));
}

TEST_F(Fetch, AWholePartNeedsNoServer) {
  leave_part(content);
  options.download.url = "http://127.0.0.1:1/";
  fetch_set(target, options);
  expect_complete();
}

TEST_F(Fetch, APartOfAnotherFileIsFetchedAnew) {
  leave_part(std::string(half(), 'x'));  // fits in size, so only the MD5 tells
  HttpServer server({honest(content)});
  fetch(server);
  expect_complete();
  ASSERT_EQ(server.requests().size(), 2U);
  EXPECT_EQ(server.requests()[1].range_begin, -1);
}

TEST_F(Fetch, AServerWithoutRangesStartsOver) {
  const auto whole = [this](const HttpRequest&) {
    HttpReply reply;
    reply.body = content;
    return reply;
  };
  HttpServer server({stop_after(half(), false, whole), whole});
  fetch(server);
  expect_complete();
}

TEST_F(Fetch, AFileThatChangedMeanwhileStartsOver) {
  std::string old = content;
  old[10] = static_cast<char>(old[10] ^ 1);
  HttpServer server({stop_after(half(), false, honest(old, "\"old\"")), honest(content, "\"new\"")});
  fetch(server);
  expect_complete();
  EXPECT_EQ(server.requests().size(), 2U);
}

TEST_F(Fetch, ARangeThatBeginsElsewhereIsRefused) {
  leave_part(content.substr(0, half()));
  HttpServer server({[this](HttpRequest request) {
    request.range_begin -= 5;
    return honest(content)(request);
  }});
  EXPECT_CONTAINS(error_of([&] { fetch(server); }), "when asked for those from");
  EXPECT_EQ(fs::file_size(part()), half());
}

TEST_F(Fetch, AnUnsatisfiableRangeStartsOver) {
  leave_part(content.substr(0, half()));
  HttpServer server({only_status(416), honest(content)});
  fetch(server);
  expect_complete();
}

TEST_F(Fetch, ALieAboutTheLengthIsFound) {
  // The server announces less than the file, sends all of that, and calls it done.
  HttpServer small({[this](const HttpRequest&) {
    HttpReply reply;
    reply.body = content.substr(0, half());
    return reply;
  }});
  EXPECT_CONTAINS(error_of([&] { fetch(small); }), "it is another file");
  fs::remove_all(target);
  HttpServer large({[this](const HttpRequest&) {
    HttpReply reply;
    reply.body = content + "more";
    return reply;
  }});
  EXPECT_CONTAINS(error_of([&] { fetch(large); }), "sends more than the");
  fs::remove_all(target);
  // No length at all, and an early end.
  HttpServer silent({[this](const HttpRequest&) {
    HttpReply reply;
    reply.body = content;
    reply.announced = -2;
    return reply;
  }});
  fetch(silent);
  expect_complete();
}

TEST_F(Fetch, WrongContentIsRemovedAndToldAbout) {
  HttpServer server({honest(std::string(content.size(), 'x'))});
  const std::string words = error_of([&] { fetch(server); });
  EXPECT_CONTAINS(words, options.archive.md5);
  EXPECT_CONTAINS(words, "removed");
  EXPECT_CONTAINS(words, "--from FILE");
  EXPECT_FALSE(fs::exists(part()));
  EXPECT_FALSE(fs::exists(target / "tiny.tar.gz"));
  EXPECT_EQ(server.requests().size(), 1U);
}

TEST_F(Fetch, NotFoundIsFinalAndSaysWhatHelps) {
  HttpServer server({only_status(404)});
  const std::string words = error_of([&] { fetch(server); });
  EXPECT_CONTAINS(words, "status 404");
  EXPECT_CONTAINS(words, "--url URL");
  EXPECT_CONTAINS(words, "--data synthetic");
  EXPECT_EQ(server.requests().size(), 1U);
}

TEST_F(Fetch, AnOverloadedServerIsAskedAgain) {
  HttpServer server({only_status(503), only_status(503), honest(content)});
  fetch(server);
  expect_complete();
  EXPECT_EQ(server.requests().size(), 3U);
}

TEST_F(Fetch, PatienceEndsAndThePartIsKept) {
  HttpServer server({stop_after(half(), false, honest(content)), only_status(503)});
  const std::string words = error_of([&] { fetch(server); });
  EXPECT_CONTAINS(words, "status 503");
  EXPECT_CONTAINS(words, "are kept in");
  EXPECT_EQ(fs::file_size(part()), half());
  EXPECT_EQ(server.requests().size(), 4U);  // one that brought something, then three in vain
}

TEST_F(Fetch, NobodyThereIsAnError) {
  options.download.url = "http://127.0.0.1:1/";
  EXPECT_CONTAINS(error_of([&] { fetch_set(target, options); }), "often slow or down");
}

TEST_F(Fetch, OnlyTheWebIsAsked) {
  options.download.url = "file://" + (directory / "original.tar.gz").string();
  EXPECT_CONTAINS(error_of([&] { fetch_set(target, options); }), "http or https");
}

TEST_F(Fetch, FollowsARedirection) {
  HttpServer good({honest(content)});
  HttpServer server({[&](const HttpRequest&) {
    HttpReply reply;
    reply.status = 302;
    reply.headers = "Location: " + good.url("/there") + "\r\n";
    reply.body = "this way";
    return reply;
  }});
  fetch(server);
  expect_complete();
}

TEST_F(Fetch, ALocalCopyComesFirst) {
  options.download.url = "http://127.0.0.1:1/";
  options.from = directory / "original.tar.gz";
  EXPECT_CONTAINS(fetch_set(target, options).told, "original.tar.gz");
  EXPECT_FALSE(fs::exists(target / "tiny.tar.gz"));  // used where it is
  fs::remove_all(target);
  options.from.clear();
  fs::create_directories(target);
  fs::copy_file(directory / "original.tar.gz", target / "tiny.tar.gz");
  fetch_set(target, options);
  expect_complete();
}

TEST_F(Fetch, ABadLocalCopyIsRefusedAndKept) {
  fs::create_directories(target);
  write_file(target / "tiny.tar.gz", bytes_of("not it"));
  EXPECT_CONTAINS(error_of([&] { fetch_set(target, options); }), "has 6 bytes");
  EXPECT_EQ(fs::file_size(target / "tiny.tar.gz"), 6U);
  options.from = directory / "nowhere";
  EXPECT_CONTAINS(error_of([&] { fetch_set(target, options); }), "nowhere");
}

TEST_F(Fetch, UnpackingFillsGapsAndOverwritesNothing) {
  options.from = directory / "original.tar.gz";
  const fs::path folder = fetch_set(target, options).folder;
  fs::remove(folder / "data_batch_2.bin");
  EXPECT_CONTAINS(fetch_set(target, options).told, "1 files unpacked");
  write_file(folder / "data_batch_2.bin", bytes_of("mine"), true);
  const std::string words = error_of([&] { fetch_set(target, options); });
  EXPECT_CONTAINS(words, "data_batch_2.bin is not the file of that name");
  EXPECT_EQ(fs::file_size(folder / "data_batch_2.bin"), 4U);
  options.from.clear();  // without an archive at hand, the damage is still seen
  EXPECT_CONTAINS(error_of([&] { fetch_set(target, options); }), "data_batch_2.bin has 4 bytes");
}

TEST_F(Fetch, MembersCannotLeaveTheFolder) {
  auto members = test::tiny_members();
  for (auto& [name, bytes] : members) name = "../../../" + fs::path(name).filename().string();
  members.push_back({"/tmp/normlab-must-not-exist", {1}});
  const std::string file = options.archive.file;
  options.archive = test::write_archive(directory / "evil.tar.gz", members);
  options.archive.file = file;
  options.from = directory / "evil.tar.gz";
  fetch_set(target, options);
  EXPECT_TRUE(fs::exists(target / "cifar-10-batches-bin" / "data_batch_1.bin"));
  EXPECT_FALSE(fs::exists("/tmp/normlab-must-not-exist"));
  EXPECT_EQ(std::distance(fs::directory_iterator(directory.path()), fs::directory_iterator()), 3);
}

}  // namespace
}  // namespace normlab
