# What `cmake --install` puts where: daemons, manual pages, samples of settings, systemd units.
include(GNUInstallDirs)
set(SYSTEMD_UNIT_DIR lib/systemd/system CACHE PATH "Where systemd units are installed")

# The units in systemd/ are complete for a prefix of /usr; another prefix is put in here.
function(install_unit unit)
  set(source ${CMAKE_SOURCE_DIR}/systemd/${unit})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
  file(READ ${source} text)
  string(REPLACE "/usr/sbin/" "${CMAKE_INSTALL_FULL_SBINDIR}/" text "${text}")
  string(REPLACE "/usr/libexec/" "${CMAKE_INSTALL_FULL_LIBEXECDIR}/" text "${text}")
  string(REPLACE "/etc/" "${CMAKE_INSTALL_FULL_SYSCONFDIR}/" text "${text}")
  file(WRITE ${CMAKE_BINARY_DIR}/systemd/${unit} "${text}")
  install(FILES ${CMAKE_BINARY_DIR}/systemd/${unit} DESTINATION ${SYSTEMD_UNIT_DIR})
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
