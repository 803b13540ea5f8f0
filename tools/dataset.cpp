// dataset: gets, makes, describes and shows the image sets that Normlab trains on.

#include <string>
#include <tuple>
#include <vector>

#include "experiments/options/command_line.hpp"
#include "host/data/cifar.hpp"
#include "host/data/contact_sheet.hpp"
#include "host/data/dataset.hpp"
#include "host/data/fetch.hpp"
#include "host/data/load_dataset.hpp"
#include "host/data/synthetic.hpp"
#include "host/system/output.hpp"
#include "layers/error.hpp"

namespace {

using namespace normlab;

constexpr const char* what_is_a_set =
    "SET is one of\n"
    "  synthetic, synthetic:SEED  the embedded set: ten figures on cluttered grounds, no files needed\n"
    "  DIR                        data_batch_1.bin ... data_batch_5.bin and test_batch.bin (or a\n"
    "                             cifar-10-batches-bin/ with them); or CIFAR-100's train.bin and test.bin\n"
    "  FILE                       cifar-10-binary.tar.gz or cifar-100-binary.tar.gz, not unpacked";

struct Fetch {
  std::string set;
  std::string directory;
  FetchOptions options;

  void add_to(CommandLine& line) {
    const OptionGroup command = line.command("fetch", "Get CIFAR-10 or CIFAR-100 (170 MB each) and unpack it",
                                             [this] { return run(); });
    command.add("SET", &set, "what to fetch: cifar10 or cifar100").required().one_of({"cifar10", "cifar100"});
    command.add("DIR", &directory, "where to; made if need be").required();
    command.add("--from", &options.from, "a copy of the archive that you have already");
    command.add("--url", &options.download.url, "a mirror of the archive (default: its home page)");
    command.footer(
        "A copy in DIR, or the one named by --from, is used before anything is downloaded. A download that\n"
        "was cut goes on where it stopped: run the same command again. Whatever arrives must have the size\n"
        "and the MD5 of the real archive. The host is often slow or down; then try later, or bring the file\n"
        "from elsewhere.\n\n"
        "  dataset fetch cifar10 data                          download, unpack to "
        "data/cifar-10-batches-bin\n"
        "  dataset fetch cifar10 data --from ~/cifar-10-binary.tar.gz\n"
        "  compare_norms --data data                           then train on it");
  }

  int run() {
    options.archive = archive_of(set);
    options.download.progress = stderr;
    const FetchResult result = fetch_set(directory, options);
    say("{}: {}\n", result.folder.string(), result.told);
    return 0;
  }
};

struct Info {
  std::string set = "synthetic";

  void add_to(CommandLine& line) {
    const OptionGroup command =
        line.command("info", "Print what is in a set: counts, channels, checksum", [this] { return run(); });
    command.add("SET", &set, "the set");
    command.footer(what_is_a_set);
  }

  static void print_split(const char* name, const Images& images, const std::vector<std::string>& classes) {
    std::vector<int> counts(classes.size(), 0);
    for (const std::uint8_t label : images.labels) ++counts[label];
    say("{:<6} {} images of {}x{}x{}\n", name, images.count, images.channels, images.height, images.width);
    for (std::size_t i = 0; i < classes.size(); ++i) say("  {} {:<12} {:>6}\n", i, classes[i], counts[i]);
    const ChannelStatistics s = channel_statistics(images);
    say("  mean       red {:.4f}  green {:.4f}  blue {:.4f}   (bytes / 255)\n", s.mean[0], s.mean[1],
        s.mean[2]);
    say("  deviation  red {:.4f}  green {:.4f}  blue {:.4f}\n", s.deviation[0], s.deviation[1],
        s.deviation[2]);
  }

  [[nodiscard]] int run() const {
    const Dataset dataset = load_dataset(set);
    say("set    {}\nsource {}\nsha256 {}  (all records)\n", dataset.name, dataset.source, dataset.digest);
    print_split("train", dataset.train, dataset.class_names);
    print_split("test", dataset.test, dataset.class_names);
    return 0;
  }
};

struct Synthetic {
  std::string directory;
  std::uint64_t seed = 0;
  int train = synthetic_train_images;
  int test = synthetic_test_images;

  void add_to(CommandLine& line) {
    const OptionGroup command = line.command(
        "synthetic", "Write the synthetic set in CIFAR-10's binary layout", [this] { return run(); });
    command.add("DIR", &directory, "a new or empty directory").required();
    command.add("--seed", &seed, "the seed it is drawn from");
    command.add("--train", &train, "training images").within(1, 1'000'000);
    command.add("--test", &test, "test images").within(1, 1'000'000);
    command.footer(
        "Training draws the set by itself (--data synthetic); the files are for other programs. They have\n"
        "CIFAR-10's layout, with fewer records a file; records.txt says how many.");
  }

  [[nodiscard]] int run() const {
    const Dataset dataset = make_synthetic(seed, train, test);
    cifar::write_directory(directory, dataset);
    say("{}: {} training and {} test images, {}\nsha256 {}\n", directory, dataset.train.count,
        dataset.test.count, dataset.source, dataset.digest);
    return 0;
  }
};

struct Show {
  std::string set;
  std::string file;
  bool of_test = false;
  ContactSheetOptions options;

  void add_to(CommandLine& line) {
    const OptionGroup command =
        line.command("show", "Draw a contact sheet (PNG): a row for each class", [this] { return run(); });
    command.add("SET", &set, "the set").required();
    command.add("PNG", &file, "the picture to write").required();
    command.flag("--test", &of_test, "show test images, not training images");
    command.add("--columns", &options.columns, "images per class");
    command.add("--magnify", &options.magnification, "screen pixels per pixel");
    command.flag("--force", &options.overwrite, "replace an existing file");
    command.footer(what_is_a_set);
  }

  [[nodiscard]] int run() const {
    const Dataset dataset = load_dataset(set);
    const int classes = static_cast<int>(dataset.class_names.size());
    write_contact_sheet(file, of_test ? dataset.test : dataset.train, classes, options);
    say("{}: rows from the top: {}\n", file, fmt::join(dataset.class_names, ", "));
    return 0;
  }
};

}  // namespace

int main(int argc, char** argv) {
  CommandLine line("dataset", "Gets, makes, describes and shows the image sets that Normlab trains on.");
  line.footer("Exit status: 0 done, 1 failed, 2 wrong usage. `dataset COMMAND --help` tells more.");
  std::tuple<Fetch, Info, Synthetic, Show> commands;
  std::apply([&](auto&... command) { (command.add_to(line), ...); }, commands);
  return line.run(argc, argv);
}
