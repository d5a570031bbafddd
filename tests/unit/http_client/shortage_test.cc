// How many connections are kept where descriptors are few.
#include "http_client/shortage.h"

#include <gtest/gtest.h>

namespace messaging::http_client {
namespace {

// With 64 descriptors, connections that were idle took all that were left: nothing was sent until receivers closed them.
TEST(ConnectionsToKeep, HaveHalfOfTheDescriptorsAtMost) {
    EXPECT_EQ(connections_to_keep(65536, 5, 256), 256u);
    EXPECT_EQ(connections_to_keep(2560, 5, 256), 256u);
    EXPECT_EQ(connections_to_keep(1024, 5, 256), 102u);
    EXPECT_EQ(connections_to_keep(256, 5, 256), 25u);
    EXPECT_EQ(connections_to_keep(64, 5, 256), 6u);
    EXPECT_EQ(connections_to_keep(64, 40, 256), 4u) << "some are needed";
    EXPECT_EQ(connections_to_keep(64, 0, 2), 2u);
}

}  // namespace
}  // namespace messaging::http_client
