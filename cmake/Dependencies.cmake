# Every library the services link, behind one target: `dependencies`.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(RABBITMQ REQUIRED IMPORTED_TARGET librabbitmq>=0.11)
pkg_check_modules(MICROHTTPD REQUIRED IMPORTED_TARGET libmicrohttpd>=0.9.75)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.14)
pkg_check_modules(UUID REQUIRED IMPORTED_TARGET uuid)
pkg_check_modules(INIH REQUIRED IMPORTED_TARGET inih)
pkg_check_modules(OPENSSL REQUIRED IMPORTED_TARGET libssl>=3.0 libcrypto>=3.0)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3>=3.40)
pkg_check_modules(SYSTEMD REQUIRED IMPORTED_TARGET libsystemd)
# A store in PostgreSQL is left out where this is missing: --store then says so. 14 has pipelines.
option(WITH_POSTGRESQL "Build the store in PostgreSQL where libpq is there" ON)
if(WITH_POSTGRESQL)
  pkg_check_modules(POSTGRESQL IMPORTED_TARGET libpq>=14)
endif()

add_library(dependencies INTERFACE)
target_link_libraries(dependencies INTERFACE PkgConfig::RABBITMQ PkgConfig::MICROHTTPD
                      PkgConfig::JANSSON PkgConfig::UUID PkgConfig::INIH PkgConfig::OPENSSL
                      PkgConfig::SQLITE PkgConfig::SYSTEMD Threads::Threads)
target_compile_definitions(dependencies INTERFACE _GNU_SOURCE
                           PROJECT_VERSION="${PROJECT_VERSION}")
