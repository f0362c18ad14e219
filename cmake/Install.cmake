# What `cmake --install` puts where: daemons, manual pages, samples of settings, systemd units.
include(GNUInstallDirs)
set(SYSTEMD_UNIT_DIR lib/systemd/system CACHE PATH "Where systemd units are installed")

function(read_unit unit ret_text)
  set(source ${CMAKE_SOURCE_DIR}/systemd/${unit})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
  file(READ ${source} text)
  set(${ret_text} "${text}" PARENT_SCOPE)
endfunction()

# The units in systemd/ are complete for a prefix of /usr; another prefix is put in here.
function(install_unit_text unit text)
  string(REPLACE "/usr/sbin/" "${CMAKE_INSTALL_FULL_SBINDIR}/" text "${text}")
  string(REPLACE "/usr/libexec/" "${CMAKE_INSTALL_FULL_LIBEXECDIR}/" text "${text}")
  string(REPLACE "/etc/" "${CMAKE_INSTALL_FULL_SYSCONFDIR}/" text "${text}")
  file(WRITE ${CMAKE_BINARY_DIR}/systemd/${unit} "${text}")
  install(FILES ${CMAKE_BINARY_DIR}/systemd/${unit} DESTINATION ${SYSTEMD_UNIT_DIR})
endfunction()

function(install_unit unit)
  read_unit(${unit} text)
  install_unit_text(${unit} "${text}")
endfunction()

# One of several on a machine: the same unit, with settings and a state directory of the instance's own, which is not
# below that of session-service.service: an operator moves and restores that one as a whole.
function(install_instances_of service)
  read_unit(${service}.service text)
  foreach(change "/etc/${service}/${service}.conf|/etc/${service}/%i.conf" "StateDirectory=${service}|StateDirectory=${service}-%i"
          "systemctl edit ${service}|systemctl edit ${service}@" "Description=|Description=Instance %i: ")
    string(REPLACE "|" ";" change ${change})
    list(GET change 0 old)
    list(GET change 1 new)
    string(FIND "${text}" "${old}" found)
    if(found EQUAL -1)
      message(FATAL_ERROR "systemd/${service}.service has no ${old}")
    endif()
    string(REPLACE "${old}" "${new}" text "${text}")
  endforeach()
  install_unit_text(${service}@.service "${text}")
endfunction()

foreach(service user-service session-service)
  install(TARGETS ${service} RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})
  install(FILES docs/${service}.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)
  install(FILES docs/${service}.conf DESTINATION ${CMAKE_INSTALL_FULL_SYSCONFDIR}/${service})
  install(DIRECTORY DESTINATION ${CMAKE_INSTALL_FULL_SYSCONFDIR}/${service}/credentials
          DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
  install(PROGRAMS systemd/refresh-credentials systemd/reload
          DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/${service})
  install_unit(${service}.service)
endforeach()
install_unit(user-service.socket)
install_instances_of(session-service)
