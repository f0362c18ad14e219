# Two interface targets: what the compiler must complain about, and how release binaries are hardened.
include(CheckCCompilerFlag)

add_library(project_warnings INTERFACE)
target_compile_options(project_warnings INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2
  -Wswitch-enum -Wundef -Wvla -Wwrite-strings
  # What takes a row of a table must be given one, whoever builds.
  -Werror=incompatible-pointer-types)
if(WERROR)
  target_compile_options(project_warnings INTERFACE -Werror)
endif()

# The list is the OpenSSF compiler options hardening guide's. Sanitizers and _FORTIFY_SOURCE exclude
# each other, so a sanitized build takes the first instead of the second. It also keeps assert(), which CMake
# switches off in every optimized build.
add_library(project_hardening INTERFACE)
if(SANITIZE)
  target_compile_options(project_hardening INTERFACE
    -fsanitize=${SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g -UNDEBUG)
  target_link_options(project_hardening INTERFACE -fsanitize=${SANITIZE})
else()
  set(release $<CONFIG:Release,RelWithDebInfo>)
  foreach(flag -fstack-clash-protection -fcf-protection=full -ftrivial-auto-var-init=zero
               -fstrict-flex-arrays=3)
    string(MAKE_C_IDENTIFIER "HAVE${flag}" have)
    check_c_compiler_flag(${flag} ${have})
    if(${have})
      target_compile_options(project_hardening INTERFACE $<${release}:${flag}>)
    endif()
  endforeach()
  target_compile_options(project_hardening INTERFACE
    $<${release}:-U_FORTIFY_SOURCE> $<${release}:-D_FORTIFY_SOURCE=3>
    $<${release}:-fstack-protector-strong> $<${release}:-fno-delete-null-pointer-checks>
    $<${release}:-fno-strict-overflow> $<${release}:-fno-strict-aliasing> $<${release}:-fPIE>
    -g)
  target_link_options(project_hardening INTERFACE
    $<${release}:-Wl,-z,relro,-z,now> $<${release}:-Wl,-z,noexecstack>
    $<${release}:-Wl,-z,nodlopen> -Wl,--as-needed)
endif()
